package train

import (
	"context"
	"os"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/embedded"
)

func TestTryFashion(t *testing.T) {
	if os.Getenv("TRY") == "" {
		t.Skip()
	}
	s, err := data.OpenIDX(embedded.Fashion(), data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Spec = "embedded:fashion"
	r, err := LoadRecipe("fashion-quick", os.Getenv("SET"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := Run(context.Background(), Config{Splits: s, Recipe: r, Out: os.Getenv("TRY"), Log: Log{W: os.Stderr}})
	t.Logf("%+v %v", res, err)
	if err != nil {
		t.Fatal(err)
	}
}
