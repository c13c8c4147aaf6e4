// Package oippb has the messages of the Open Inference Protocol over gRPC, generated from
// oip.proto by the program in _gen, which needs no protoc.
package oippb

//go:generate sh -c "cd _gen && go run . ../oip.proto .."
