package modelfile_test

import (
	"fmt"
	"log"

	"github.com/resnet-go/resnet/modelfile"
)

// What users write for a model.
func ExampleParse() {
	for _, text := range []string{"runs/photos/best.safetensors", "resnet50@resnet50.pth", "resnet50", "resent50", "timm/resnet50.a1_in1k"} {
		ref, err := modelfile.Parse(text)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("name %q, file %q, published %q\n", ref.Name, ref.File, ref.Remote.Repo)
	}
	// Output:
	// name "", file "runs/photos/best.safetensors", published ""
	// name "resnet50", file "resnet50.pth", published ""
	// name "resnet50", file "", published ""
	// unknown model "resent50"; did you mean "resnet50"?
	// name "", file "", published "timm/resnet50.a1_in1k"
}

// The model inside the program.
func ExampleOpen() {
	r, err := modelfile.Open("", modelfile.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Model.Config.Name, r.Input, r.Classes)
	fmt.Println(r.File.Classes)
	fmt.Println(r.File.Tensors["conv1.weight"].Shape())
	// Output:
	// resnet11-speedrun [3 32 32] 10
	// [airplane automobile bird cat deer dog frog horse ship truck]
	// [32 3 3 3]
}
