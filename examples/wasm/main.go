//go:build js && wasm

// Command wasm is recognition inside a web page: it offers the function
// resnetClassify to the page's scripts and stays for as long as the page does.
// README.md describes how to build and serve it.
package main

import (
	"context"
	"encoding/json"
	"syscall/js"

	"github.com/resnet-go/resnet"
)

func main() {
	model, err := resnet.Open("", resnet.Options{})
	if err != nil {
		panic(err) // the model is inside the program
	}
	js.Global().Set("resnetClassify", js.FuncOf(func(_ js.Value, args []js.Value) any {
		return classify(model, args)
	}))
	js.Global().Call("resnetReady", model.Name())
	select {}
}

// classify takes a picture file as a Uint8Array and returns JSON: a list of
// {"class", "probability"}, most probable first, or {"error"}.
func classify(model *resnet.Model, args []js.Value) string {
	if len(args) != 1 || !args[0].InstanceOf(js.Global().Get("Uint8Array")) {
		return text(map[string]string{"error": "resnetClassify takes one Uint8Array"})
	}
	file := make([]byte, args[0].Length())
	js.CopyBytesToGo(file, args[0])
	predictions, err := model.Classify(context.Background(), resnet.Encoded("picture", file))
	if err != nil {
		return text(map[string]string{"error": err.Error()})
	}
	return text(predictions)
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and finite numbers
	}
	return string(b)
}
