package safetensors_test

import (
	"bytes"
	"fmt"
	"log"

	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights/safetensors"
)

// A file is a list of tensors and some texts. What was written can be listed
// without reading the tensors.
func Example() {
	x, err := tensor.FromFloat32([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	if err != nil {
		log.Fatal(err)
	}
	var file bytes.Buffer
	err = safetensors.Write(&file, []safetensors.Tensor{
		{Name: "fc.weight", Tensor: x},
		{Name: "fc.half", Tensor: x, As: safetensors.F16},
	}, map[string]string{"made by": "an example"})
	if err != nil {
		log.Fatal(err)
	}

	r, err := safetensors.NewReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range r.Entries() {
		fmt.Println(e.Name, e.DType, e.Shape)
	}
	fmt.Println(r.Metadata())
	y, err := r.Tensor("fc.weight")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(y.Float32s())
	// Output:
	// fc.weight F32 [2 3]
	// fc.half F16 [2 3]
	// map[made by:an example]
	// [1 2 3 4 5 6]
}
