package train

import (
	"errors"

	"github.com/resnet-go/resnet/nn"
)

// warmHead compiles the step of the first epochs, which trains the last layer alone.
func (s *session) warmHead(opt StepOptions) error {
	ft := s.rec.Finetune
	if ft == nil || ft.WarmHead == 0 || s.state.Epoch >= s.start.epoch+ft.WarmHead {
		return nil
	}
	heads := headsOf(s.module)
	if len(heads) == 0 {
		return errors.New("finetune.warm_head: the model has no last fully connected layer that could learn alone")
	}
	var froze []*nn.Param
	for _, e := range nn.Params(s.module) {
		if p := e.Param; !inHeads(e.Name, heads) && !p.Frozen {
			p.Frozen = true
			froze = append(froze, p)
		}
	}
	var err error
	if len(froze) > 0 { // else every epoch trains the last layer alone
		s.head, err = NewStep(s.module, opt)
	}
	for _, p := range froze {
		p.Frozen = false
	}
	return err
}

// warmingHead reports whether the epoch in progress trains the last layer alone.
func (s *session) warmingHead() bool {
	return s.head != nil && s.state.Epoch < s.start.epoch+s.rec.Finetune.WarmHead
}
