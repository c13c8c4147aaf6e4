package report_test

import (
	"log"
	"os"

	"github.com/resnet-go/resnet/lab/report"
)

// The numbers of a chart, as in the CSV files beside a report.
func ExampleFigure_CSV() {
	f := &report.Figure{ID: "error", Title: "Test error", XLabel: "epoch", YLabel: "test error", Series: []report.Series{
		{Name: "plain", X: []float64{1, 2}, Y: []float64{0.5, 0.4}, Dashed: true},
		{Name: "residual", X: []float64{1, 2}, Y: []float64{0.4, 0.25}, Color: 1},
	}}
	if err := f.CSV(os.Stdout); err != nil {
		log.Fatal(err)
	}
	// Output:
	// series,x,y,std
	// plain,1,0.5,
	// plain,2,0.4,
	// residual,1,0.4,
	// residual,2,0.25,
}
