package metrics_test

import (
	"fmt"
	"log"

	"github.com/resnet-go/resnet/metrics"
)

// From logits and labels to accuracy, the figures of each class, and the classes
// that are mixed up.
func ExampleEvaluate() {
	classes := []string{"cat", "dog", "fox"}
	logits := []float32{ // [4 samples][3 classes]
		4, 1, 0,
		0, 3, 1,
		2, 1, 0,
		0, 1, 5,
	}
	r, err := metrics.Evaluate(logits, []int{0, 1, 1, 2}, classes)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("top-1 %.0f%%, loss %.3f\n", 100*r.Top1, r.Loss)
	for _, c := range r.Classes {
		fmt.Printf("%s: precision %.2f, recall %.2f\n", c.Name, c.Precision, c.Recall)
	}
	for _, p := range r.MostMixedUp {
		fmt.Printf("%s taken for %s: %d\n", p.True, p.Predicted, p.Count)
	}
	// Output:
	// top-1 75%, loss 0.417
	// cat: precision 0.50, recall 1.00
	// dog: precision 1.00, recall 0.50
	// fox: precision 1.00, recall 1.00
	// dog taken for cat: 1
}

// Samples that may have any number of labels are judged by a sigmoid per class.
func ExampleEvaluateMultiLabel() {
	logits := []float32{ // [3 samples][2 classes]
		2, -1,
		-3, 1,
		1, 2,
	}
	r, err := metrics.EvaluateMultiLabel(logits, [][]int{{0}, {1}, {1}}, []string{"red", "round"}, 0.5)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("mAP %.2f, exactly right %.2f, wrong decisions %.2f\n", r.MAP, r.Exact, r.Hamming)
	// Output:
	// mAP 1.00, exactly right 0.67, wrong decisions 0.17
}
