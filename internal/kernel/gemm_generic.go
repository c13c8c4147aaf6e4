package kernel

import "unsafe"

// floatAt returns the float that lies off bytes after p.
func floatAt(p *float32, off int) *float32 {
	return (*float32)(unsafe.Add(unsafe.Pointer(p), off))
}

// address returns the address of p, for a prefetch.
func address(p *float32) uintptr { return uintptr(unsafe.Pointer(p)) }

// gemmNNGeneric is the NN micro-kernel in Go for any m and nz.
func gemmNNGeneric(m, nz int, g *gemmArgs) {
	for ; g.tiles > 0; g.nextTile() {
		gemmNNTile(m, nz, g)
	}
}

func gemmNNTile(m, nz int, g *gemmArgs) {
	offs := unsafe.Slice(g.aoff, g.batch)
	for p := range nz {
		cols := panelWidth
		if p == nz-1 {
			cols = g.cols
		}
		b := unsafe.Slice(floatAt(g.b, p*g.bs), g.batch*g.k*panelWidth)
		for i := range m {
			var acc [panelWidth]float32
			a := floatAt(g.a, i*g.as)
			at := i*g.ldc + p*panelWidth*4
			if g.a2 != nil && i >= m/2 {
				a = floatAt(g.a2, (i-m/2)*g.as)
				at += g.cjump - g.ldc
			}
			for n, off := range offs {
				row := unsafe.Slice(floatAt(a, off), g.k)
				panel := b[n*g.k*panelWidth:]
				for k, av := range row {
					bv := (*[panelWidth]float32)(panel[k*panelWidth:])
					for j := range acc {
						acc[j] += av * bv[j]
					}
				}
			}
			g.store(at, p, cols, &acc)
		}
	}
}

// gemmTNGeneric is the TN micro-kernel in Go for any m and nz.
func gemmTNGeneric(m, nz int, g *gemmArgs) {
	for ; g.tiles > 0; g.nextTile() {
		gemmTNTile(m, nz, g)
	}
}

// nextTile moves the pointers on, unless the last tile is done: they might
// point outside then.
func (g *gemmArgs) nextTile() {
	if g.tiles--; g.tiles == 0 {
		return
	}
	g.a = floatAt(g.a, g.astep)
	if g.a2 != nil {
		g.a2 = floatAt(g.a2, g.astep)
	}
	g.c = floatAt(g.c, g.cstep)
	if g.res != nil {
		g.res = floatAt(g.res, g.cstep)
	}
}

func gemmTNTile(m, nz int, g *gemmArgs) {
	offs := unsafe.Slice(g.aoff, g.batch)
	for p := range nz {
		cols := panelWidth
		if p == nz-1 {
			cols = g.cols
		}
		for i := range m {
			var acc [panelWidth]float32
			for n, off := range offs {
				for k := range g.k {
					av := *floatAt(g.a, off+k*g.as+i*4)
					bv := (*[panelWidth]float32)(unsafe.Pointer(floatAt(g.b, (n*g.k+k)*g.bs+p*panelWidth*4)))
					for j := range acc {
						acc[j] += av * bv[j]
					}
				}
			}
			g.store(i*g.ldc+p*panelWidth*4, p, cols, &acc)
		}
	}
}

// store is the epilogue for one row of panel p, at bytes into c.
func (g *gemmArgs) store(at, p, cols int, acc *[panelWidth]float32) {
	c := unsafe.Slice(floatAt(g.c, at), cols)
	if g.bias != nil {
		for j, v := range unsafe.Slice(floatAt(g.bias, p*panelWidth*4), cols) {
			acc[j] += v
		}
	}
	if g.res != nil {
		for j, v := range unsafe.Slice(floatAt(g.res, at), cols) {
			acc[j] += v
		}
	}
	for j := range c {
		v := acc[j]
		if g.clamp != 0 {
			// The comparisons are false for NaN, which passes through.
			if v < g.lo {
				v = g.lo
			}
			if g.clamp > 1 && v > g.hi {
				v = g.hi
			}
		}
		c[j] = v
	}
}
