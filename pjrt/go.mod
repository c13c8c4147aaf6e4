module github.com/resnet-go/resnet/pjrt

go 1.26.0

require (
	github.com/ebitengine/purego v0.11.3
	github.com/resnet-go/resnet v0.0.0
)

replace github.com/resnet-go/resnet => ../
