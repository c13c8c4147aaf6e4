package nn

import (
	"fmt"
	"hash/fnv"
	"math"

	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/tensor"
)

// Source gives random numbers to an [Initializer].
type Source interface {
	Float64() float64 // in [0, 1)
	Norm() float64    // standard normal
}

// Initializer fills a parameter with its first values.
type Initializer func(t *tensor.Tensor, r Source)

// Init gives every parameter and buffer of m a fresh value by its Init. The
// numbers depend only on the seed and the parameter's key, so that a change
// elsewhere in the model does not change them.
func Init(m Module, seed uint64) error {
	tree, err := checkedWalk(m)
	if err != nil {
		return err
	}
	var fresh []Entry
	for _, e := range tree.params {
		if tree.names[e.Param] != e.Name {
			continue // shared, done under its first key
		}
		if e.Param.DType != tensor.Float32 && e.Param.Init != nil {
			return fmt.Errorf("nn: %s: only float32 parameters can have an Init, this is %s", e.Name, e.Param.DType)
		}
		fresh = append(fresh, e)
	}
	pool := parallel.NewPool(0)
	defer pool.Close()
	pool.Run(len(fresh), func(i, _ int) { fresh[i].init(seed) })
	return nil
}

// init fills the parameter from its own stream of random numbers.
func (e Entry) init(seed uint64) {
	p := e.Param
	if p.DType == tensor.Int64 {
		p.Value = tensor.NewInt64(p.Shape...)
		return
	}
	p.Value = tensor.New(p.Shape...)
	if p.Init != nil {
		h := fnv.New64a()
		h.Write([]byte(e.Name)) // never fails
		r := philox.New(seed, h.Sum64())
		p.Init(p.Value, &r)
	}
}

// Fan is the count of connections by which an initializer scales.
type Fan uint8

// The fans of a weight [K C/groups R S] or [O I].
const (
	FanIn  Fan = iota // inputs of an output element, C/groups*R*S: keeps the forward signal's variance
	FanOut            // K*R*S: keeps the backward signal's variance
)

func (f Fan) of(s tensor.Shape) float64 {
	if len(s) < 2 {
		return float64(s.Numel())
	}
	if f == FanOut {
		return float64(s[0] * s[2:].Numel())
	}
	return float64(s[1:].Numel())
}

// HeNormal draws from a normal distribution of variance 2/fan (He et al. 2015,
// "Delving Deep into Rectifiers", section 2.2). PyTorch's kaiming_normal_.
func HeNormal(fan Fan) Initializer {
	return func(t *tensor.Tensor, r Source) { normal(t, r, 0, math.Sqrt(2/fan.of(t.Shape()))) }
}

// HeUniform draws from a uniform distribution of variance 2/fan.
func HeUniform(fan Fan) Initializer {
	return func(t *tensor.Tensor, r Source) { uniform(t, r, math.Sqrt(6/fan.of(t.Shape()))) }
}

// XavierNormal draws from a normal distribution of variance
// 2/(fan in + fan out) (Glorot and Bengio 2010, section 4.2.1).
func XavierNormal() Initializer {
	return func(t *tensor.Tensor, r Source) {
		normal(t, r, 0, math.Sqrt(2/(FanIn.of(t.Shape())+FanOut.of(t.Shape()))))
	}
}

// XavierUniform draws from a uniform distribution of variance
// 2/(fan in + fan out).
func XavierUniform() Initializer {
	return func(t *tensor.Tensor, r Source) {
		uniform(t, r, math.Sqrt(6/(FanIn.of(t.Shape())+FanOut.of(t.Shape()))))
	}
}

// Normal draws from a normal distribution.
func Normal(mean, std float64) Initializer {
	return func(t *tensor.Tensor, r Source) { normal(t, r, mean, std) }
}

// Uniform draws from the uniform distribution on [-bound, bound).
func Uniform(bound float64) Initializer {
	return func(t *tensor.Tensor, r Source) { uniform(t, r, bound) }
}

// Dirac makes the first filters of a convolution's weight [K C/groups R S] the identity:
// filter k of a group gives channel k, as many as the group has of both, with odd
// kernels and "same" padding the very image (Zagoruyko and Komodakis 2017, "DiracNets";
// PyTorch's dirac_). What the filters beyond the input's channels begin with is drawn by
// rest, whose numbers are the same as without Dirac.
func Dirac(rest Initializer) Initializer {
	return func(t *tensor.Tensor, r Source) {
		rest(t, r)
		s := t.Shape()
		if len(s) != 4 {
			return
		}
		size := s[1:].Numel()
		for k := range min(s[0], s[1]) {
			filter := t.Float32s()[k*size : (k+1)*size]
			clear(filter)
			filter[k*s[2]*s[3]+s[2]/2*s[3]+s[3]/2] = 1
		}
	}
}

// Constant sets every element to v.
func Constant(v float32) Initializer {
	return func(t *tensor.Tensor, _ Source) {
		for i := range t.Float32s() {
			t.Float32s()[i] = v
		}
	}
}

// TorchWeight is PyTorch's default for the weights of Conv2d and Linear:
// uniform on ±1/√(fan in), there written kaiming_uniform_(a=√5).
func TorchWeight() Initializer {
	return func(t *tensor.Tensor, r Source) { uniform(t, r, 1/math.Sqrt(FanIn.of(t.Shape()))) }
}

// TorchBias is PyTorch's default for the biases of Conv2d and Linear: uniform on
// ±1/√fanIn, where fanIn belongs to the weight.
func TorchBias(fanIn int) Initializer { return Uniform(1 / math.Sqrt(float64(fanIn))) }

func normal(t *tensor.Tensor, r Source, mean, std float64) {
	v := t.Float32s()
	for i := range v {
		v[i] = float32(mean + float64(std*r.Norm()))
	}
}

func uniform(t *tensor.Tensor, r Source, bound float64) {
	v := t.Float32s()
	for i := range v {
		v[i] = float32(float64(bound * (2*r.Float64() - 1)))
	}
}
