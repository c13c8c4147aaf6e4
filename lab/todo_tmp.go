package lab

import (
	"context"

	"github.com/resnet-go/resnet/lab/report"
)

func gradients(context.Context, *Study) ([]report.Section, []string, error)  { return nil, nil, nil }
func landscape(context.Context, *Study) ([]report.Section, []string, error)  { return nil, nil, nil }
func unravelled(context.Context, *Study) ([]report.Section, []string, error) { return nil, nil, nil }
func textbook(context.Context, *Study) ([]report.Section, []string, error)   { return nil, nil, nil }
