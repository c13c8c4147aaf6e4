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

// Boxes that a detector found, judged by COCO's protocol and by Pascal VOC's.
func ExampleEvaluateCOCO() {
	objects := []metrics.Object{
		{ID: 1, Image: 10, Category: 1, Box: [4]float64{10, 10, 50, 40}, Area: 2000},
		{ID: 2, Image: 11, Category: 1, Box: [4]float64{0, 0, 30, 30}, Area: 900},
	}
	detections := []metrics.Detection{
		{Image: 10, Category: 1, Box: [4]float64{10, 10, 50, 40}, Score: 0.9},
		{Image: 11, Category: 1, Box: [4]float64{5, 0, 30, 30}, Score: 0.8},
	}
	coco, err := metrics.EvaluateCOCO(objects, detections, metrics.COCOConfig{Images: []int64{10, 11}, Categories: []int64{1}})
	if err != nil {
		log.Fatal(err)
	}
	voc, err := metrics.EvaluateVOC(objects, detections, metrics.VOCConfig{Images: []int64{10, 11}, Categories: []int64{1}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("AP %.3f, AP50 %.3f, small %.3f, medium %.3f\n", coco.AP, coco.AP50, coco.APSmall, coco.APMedium)
	fmt.Printf("VOC %.3f\n", voc.MAP)
	// Output:
	// AP 0.752, AP50 1.000, small 0.500, medium 1.000
	// VOC 1.000
}
