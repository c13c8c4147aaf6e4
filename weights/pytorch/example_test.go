package pytorch_test

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights/pytorch"
)

// A state dict as torch.save writes it and torch.load reads it.
func Example() {
	x, err := tensor.FromFloat32([]float32{1, 2, 3, 4}, 2, 2)
	if err != nil {
		log.Fatal(err)
	}
	var file bytes.Buffer
	if err := pytorch.Write(&file, []pytorch.Tensor{{Name: "fc.weight", Tensor: x}}, nil); err != nil {
		log.Fatal(err)
	}

	r, err := pytorch.NewReader(bytes.NewReader(file.Bytes()), int64(file.Len()), pytorch.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range r.Entries() {
		y, err := r.Tensor(e.Name)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Name, e.DType, e.Shape, y.Float32s())
	}
	// Output:
	// fc.weight float32 [2 2] [1 2 3 4]
}

// A pickle that would run a program in Python is refused, and nothing is run.
func ExampleGlobalError() {
	const evil = "\x80\x02cos\nsystem\n(S'echo hello'\ntR."
	_, err := pytorch.NewReader(strings.NewReader(evil), int64(len(evil)), pytorch.Options{})
	var global *pytorch.GlobalError
	if errors.As(err, &global) {
		fmt.Println("refused:", global.Module, global.Name)
	}
	// Output:
	// refused: os system
}
