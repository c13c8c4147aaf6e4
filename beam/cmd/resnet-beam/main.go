// Command resnet-beam scores a list of pictures by an Apache Beam pipeline:
//
//	resnet-beam --list list.txt --out scores --model model.safetensors
//	resnet-beam --runner flink --endpoint localhost:8099 --list gs://b/list.txt --out gs://b/scores --model /models/m.safetensors
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/gcs"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/local"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/x/beamx"

	"github.com/resnet-go/resnet/beam/score"
)

// flags registers the flags of this program, beside those of Beam's runners.
func flags(o *score.Options) {
	flag.StringVar(&o.List, "list", "", "file with a line for each picture or .tar: its path, or JSON with an id and a path; must be given")
	flag.StringVar(&o.Out, "out", "", "beginning of the names of the result files; must be given")
	flag.IntVar(&o.Files, "files", 1, "number of result files")
	flag.StringVar(&o.Model, "model", "", "model file on every worker, or a published name (default: the model inside the program)")
	flag.BoolVar(&o.Embed, "embed", false, "features instead of classes")
	flag.IntVar(&o.TopK, "topk", 5, "classes of a picture")
	flag.IntVar(&o.Batch, "batch", 16, "pictures computed together")
	flag.IntVar(&o.Threads, "threads", 0, "threads of each worker; 0 means one for each processor")
}

func main() {
	var o score.Options
	flags(&o)
	flag.Parse()
	score.Register()
	beam.Init() // on a worker, it does not return
	if err := run(o); err != nil {
		fmt.Fprintf(os.Stderr, "resnet-beam: %v\n", err)
		os.Exit(1)
	}
}

func run(o score.Options) error {
	switch {
	case o.List == "" || o.Out == "":
		return fmt.Errorf("--list and --out must be given")
	case o.Files < 1 || o.TopK < 1 || o.Batch < 1 || o.Threads < 0:
		return fmt.Errorf("--files, --topk and --batch must be at least 1, --threads at least 0")
	case flag.NArg() > 0:
		return fmt.Errorf("unexpected argument %q: pictures are named in the file of --list", flag.Arg(0))
	}
	p, s := beam.NewPipelineWithRoot()
	score.Build(s, o)
	return beamx.Run(context.Background(), p)
}
