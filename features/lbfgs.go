package features

import "math"

// memory is the number of steps that L-BFGS remembers.
const memory = 10

// minimize finds the minimum of a smooth convex function of size numbers, from zeros, by
// L-BFGS with a backtracking line search (Nocedal and Wright 2006, algorithms 7.4, 7.5
// and 3.1).
func minimize(p interface {
	at(theta, grad []float64) (float64, error)
}, size, iterations int) (theta []float64, loss float64, steps int, err error) {
	theta = make([]float64, size)
	grad, next, nextGrad := make([]float64, size), make([]float64, size), make([]float64, size)
	if loss, err = p.at(theta, grad); err != nil {
		return nil, 0, 0, err
	}
	var s, y [][]float64 // changes of theta and of the gradient
	for steps < iterations && largest(grad) > 1e-6 {
		dir := direction(grad, s, y)
		slope := dot(dir, grad)
		if slope >= 0 { // rounding has spoilt the memory
			s, y = nil, nil
			dir = direction(grad, nil, nil)
			slope = dot(dir, grad)
		}
		t := 1.0
		if len(s) == 0 {
			t = 1 / max(1, math.Sqrt(-slope))
		}
		found := false
		for range 30 {
			for i := range next {
				next[i] = theta[i] + t*dir[i]
			}
			l, err := p.at(next, nextGrad)
			if err != nil {
				return nil, 0, 0, err
			}
			if l <= loss+1e-4*t*slope {
				loss, found = l, true
				break
			}
			t /= 2
		}
		if !found { // as far as float32 goes
			break
		}
		ds, dy := make([]float64, size), make([]float64, size)
		for i := range ds {
			ds[i], dy[i] = next[i]-theta[i], nextGrad[i]-grad[i]
		}
		if dot(ds, dy) > 1e-12*dot(dy, dy) {
			s, y = append(s, ds), append(y, dy)
			if len(s) > memory {
				s, y = s[1:], y[1:]
			}
		}
		copy(theta, next)
		copy(grad, nextGrad)
		steps++
	}
	return theta, loss, steps, nil
}

// direction is minus the gradient times the approximate inverse of the second
// derivatives.
func direction(grad []float64, s, y [][]float64) []float64 {
	q := make([]float64, len(grad))
	for i, g := range grad {
		q[i] = -g
	}
	alpha := make([]float64, len(s))
	for k := len(s) - 1; k >= 0; k-- {
		alpha[k] = dot(s[k], q) / dot(s[k], y[k])
		add(q, -alpha[k], y[k])
	}
	if k := len(s) - 1; k >= 0 {
		scale := dot(s[k], y[k]) / dot(y[k], y[k])
		for i := range q {
			q[i] *= scale
		}
	}
	for k := range s {
		add(q, alpha[k]-dot(y[k], q)/dot(s[k], y[k]), s[k])
	}
	return q
}

func add(to []float64, f float64, x []float64) {
	for i, v := range x {
		to[i] += float64(f * v)
	}
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i] * b[i])
	}
	return sum
}

func largest(x []float64) float64 {
	top := 0.0
	for _, v := range x {
		top = max(top, math.Abs(v))
	}
	return top
}
