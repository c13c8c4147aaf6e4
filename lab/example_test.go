package lab_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/embedded"
	"github.com/resnet-go/resnet/lab"
	"github.com/resnet-go/resnet/train"
)

// An experiment is trained and its report written. The same program, started
// again, continues where it was stopped.
func ExampleNew() {
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	recipe, err := train.LoadRecipe("fashion-quick", "epochs=1", "batch_size=20")
	if err != nil {
		log.Fatal(err)
	}
	e, err := lab.Lookup("degradation")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(e.Question)
	s, err := lab.New(e, lab.Options{
		Dir: dir, Data: embedded.SampleName, Images: 40, TestImages: 20, // a few, to be quick
		Open:   func(_ string, opt data.Options) (*data.Splits, error) { return data.OpenIDX(embedded.Fashion(), opt) },
		Recipe: recipe, Depths: []int{8}, Seeds: 1, Threads: 1,
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, began := context.Background(), time.Now()
	if err := s.Train(ctx); err != nil {
		log.Fatal(err)
	}
	if _, err := s.Report(ctx, time.Since(began)); err != nil {
		log.Fatal(err)
	}
	for _, r := range s.Runs {
		fmt.Println(r.Variant.Name, len(r.History), "epoch")
	}
	_, err = os.Stat(filepath.Join(dir, "report.html"))
	fmt.Println("report written:", err == nil)
	// Output:
	// Does a deeper plain network train worse than a shallower one, and does a residual one not?
	// plain-8 1 epoch
	// residual-8 1 epoch
	// report written: true
}
