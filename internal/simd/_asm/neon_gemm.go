package main

import (
	"bytes"
	"fmt"
)

// neonRows is the largest number of rows of a tile: 6 rows of a panel take 24
// of the 32 registers, 6 hold four steps of A, two hold B.
const neonRows = 6

// panelVectors is the number of vectors that make a panel of 16 columns.
const panelVectors = 4

// neonGEMM is one micro-kernel of m rows by one panel. A split NN kernel reads the
// second half of its rows from gemm.Args.A2 on and stores it CJump bytes after
// the last row of the first half.
type neonGEMM struct {
	*asm
	tn, split bool
	m         int
}

func (k *neonGEMM) name() string {
	op, split := "NN", ""
	if k.tn {
		op = "TN"
	}
	if k.split {
		split = "Split"
	}
	return fmt.Sprintf("gemm%s%d%sNEON", op, k.m, split)
}

// neonShapes calls f for every kernel.
func neonShapes(a *asm, f func(k *neonGEMM)) {
	for m := 1; m <= neonRows; m++ {
		f(&neonGEMM{asm: a, m: m})
	}
	for m := 2; m <= neonRows; m += 2 {
		f(&neonGEMM{asm: a, m: m, split: true})
	}
	for m := 1; m <= neonRows; m++ {
		f(&neonGEMM{asm: a, m: m, tn: true})
	}
}

func neonGEMMs() *asm {
	a := &asm{}
	neonShapes(a, (*neonGEMM).emit)
	return a
}

// Registers of the GEMM kernels.
const (
	args   x = 0
	square x = 1 // where to leave the tile instead, or nil
	batch  x = 2
	count  x = 3
	strA   x = 4
	ptrB   x = 5
	ahead  x = 6
	offs   x = 7
	rowA   x = 8 // and those after it, one a row; TN needs the first only
	strB   x = 14
	aheadK x = 15
	slow   x = 16 // NN: bytes that ahead moves less than 64 a step
	slow4  x = 17 // NN: four times that
	t0     x = 19
	t1     x = 20
)

func (k *neonGEMM) acc(row, vec int) v { return v(row*panelVectors + vec) }

// av is the register that holds steps of row i of A.
func (k *neonGEMM) av(i int) v { return v(neonRows*panelVectors + i) }

// bv is one of two registers for B.
func (k *neonGEMM) bv(i int) v { return v(30 + i%2) }

func (k *neonGEMM) get(name string, r x) { k.op("MOVD %d(%v), %v", gemmArgs.Offset(name), args, r) }
func (k *neonGEMM) put(name string, r x) { k.op("MOVD %v, %d(%v)", r, gemmArgs.Offset(name), args) }

func (k *neonGEMM) emit() {
	what := "NN"
	if k.tn {
		what = "TN"
	}
	k.function(k.name(), fmt.Sprintf("is the %s micro-kernel for %d rows and one panel.", what, k.m), 16)
	k.op("MOVD args+0(FP), %v", args)
	k.op("MOVD square+8(FP), %v", square)
	tile, loop, next, done := k.label("tile"), k.label("batch"), k.label("next"), k.label("done")
	k.at(tile)
	k.get("AOff", offs)
	k.get("Batch", batch)
	k.get("AStride", strA)
	k.get("B", ptrB)
	k.get("Prefetch", ahead)
	if k.tn {
		k.get("BStride", strB)
		k.get("PrefetchK", aheadK)
	} else {
		k.get("PrefetchSlow", slow)
		k.op("LSL $2, %v, %v", slow, slow4)
	}
	k.start()
	k.at(loop)
	k.setRows()
	k.get("K", count)
	if k.tn {
		k.stepsTN()
	} else {
		k.stepsNN(next)
	}
	k.at(next)
	k.op("SUBS $1, %v", batch)
	k.op("BNE %s", loop)
	k.finish()

	// On to the next tile of the row. After the last one the pointers stay: Go
	// must not see one that points past its array.
	k.get("Tiles", t0)
	k.op("SUBS $1, %v", t0)
	k.put("Tiles", t0)
	k.op("BEQ %s", done)
	move := func(name string, step x) {
		k.get(name, t1)
		k.op("ADD %v, %v", step, t1)
		k.put(name, t1)
	}
	k.get("AStep", t0)
	move("A", t0)
	if k.split {
		move("A2", t0)
	}
	k.get("PrefetchStep", t0)
	move("Prefetch", t0)
	k.get("CStep", t0)
	move("C", t0)
	k.get("Res", t1)
	k.op("CBZ %v, %s", t1, tile)
	k.op("ADD %v, %v", t0, t1)
	k.put("Res", t1)
	k.op("B %s", tile)
	k.at(done)
	k.op("RET")
}

// start sets the accumulators to the bias, or to zero.
func (k *neonGEMM) start() {
	zero, set := k.label("zero"), k.label("set")
	k.op("CBNZ %v, %s", square, zero)
	k.get("Bias", t0)
	k.op("CBZ %v, %s", t0, zero)
	for p := 0; p < panelVectors; p += 2 {
		k.loadPair(k.acc(0, p), k.acc(0, p+1), t0, 16*p)
	}
	for i := 1; i < k.m; i++ {
		for p := range panelVectors {
			k.move(k.acc(i, p), k.acc(0, p))
		}
	}
	k.op("B %s", set)
	k.at(zero)
	for i := range k.m {
		for p := range panelVectors {
			k.zero(k.acc(i, p))
		}
	}
	k.at(set)
}

// setRows points at the rows of A of the next batch element.
func (k *neonGEMM) setRows() {
	k.op("MOVD.P 8(%v), %v", offs, t0)
	k.get("A", rowA)
	k.op("ADD %v, %v", t0, rowA)
	if k.tn {
		return
	}
	for i := 1; i < k.m; i++ {
		if k.split && i == k.m/2 {
			k.get("A2", rowA+x(i))
			k.op("ADD %v, %v", t0, rowA+x(i))
			continue
		}
		k.op("ADD %v, %v, %v", strA, rowA+x(i-1), rowA+x(i))
	}
}

// stepsNN multiplies along the rows of A: four steps at a time, of which a
// vector of each row holds the elements, then one. B comes two vectors ahead of
// its use.
func (k *neonGEMM) stepsNN(next string) {
	loop, tail, one := k.label("loop"), k.label("tail"), k.label("one")
	const unroll = 4
	k.op("SUBS $%d, %v", unroll, count)
	k.op("BLT %s", tail)
	k.at(loop)
	const vectors = unroll * panelVectors
	k.loadNext(whole, k.bv(0), ptrB, 16)
	k.loadNext(whole, k.bv(1), ptrB, 16)
	for i := range k.m {
		k.loadNext(whole, k.av(i), rowA+x(i), 16)
	}
	for u := range unroll {
		k.op("PRFM %d(%v), PLDL2KEEP", 64*u, ahead)
		for p := range panelVectors {
			n := u*panelVectors + p
			for i := range k.m {
				k.fmlaLane(k.acc(i, p), k.bv(n), k.av(i), u)
			}
			if n+2 < vectors {
				k.loadNext(whole, k.bv(n), ptrB, 16)
			}
		}
	}
	k.op("ADD $%d, %v", 64*unroll, ahead)
	k.op("SUB %v, %v", slow4, ahead)
	k.op("SUBS $%d, %v", unroll, count)
	k.op("BGE %s", loop)
	k.at(tail)
	k.op("ADDS $%d, %v", unroll, count)
	k.op("BEQ %s", next)
	k.at(one)
	for i := range k.m {
		k.loadNext(single, k.av(i), rowA+x(i), 4)
	}
	k.op("PRFM (%v), PLDL2KEEP", ahead)
	k.op("ADD $64, %v", ahead)
	k.op("SUB %v, %v", slow, ahead)
	for p := range panelVectors {
		k.loadNext(whole, k.bv(p), ptrB, 16)
		for i := range k.m {
			k.fmlaLane(k.acc(i, p), k.bv(p), k.av(i), 0)
		}
	}
	k.op("SUBS $1, %v", count)
	k.op("BNE %s", one)
}

// stepsTN multiplies down the columns of A, whose rows of the tile lie side by
// side, two steps at a time.
func (k *neonGEMM) stepsTN() {
	loop, one, done := k.label("loop"), k.label("one"), k.label("summed")
	k.op("SUBS $2, %v", count)
	k.op("BLT %s", one)
	k.at(loop)
	k.stepTN(true)
	k.stepTN(false)
	k.op("SUBS $2, %v", count)
	k.op("BGE %s", loop)
	k.at(one)
	k.op("ADDS $2, %v", count)
	k.op("BEQ %s", done)
	k.stepTN(false)
	k.at(done)
}

func (k *neonGEMM) stepTN(fetch bool) {
	a0, a1 := k.av(0), k.av(1)
	switch k.m {
	case 1:
		k.load(single, a0, rowA, 0)
	case 2:
		k.load(half, a0, rowA, 0)
	case 3:
		k.load(half, a0, rowA, 0)
		k.load(single, a1, rowA, 8)
	case 4:
		k.load(whole, a0, rowA, 0)
	case 5:
		k.load(whole, a0, rowA, 0)
		k.load(single, a1, rowA, 16)
	case 6:
		k.load(whole, a0, rowA, 0)
		k.load(half, a1, rowA, 16)
	}
	b := func(p int) v { return k.av(2 + p) }
	for p := 0; p < panelVectors; p += 2 {
		k.loadPair(b(p), b(p+1), ptrB, 16*p)
	}
	k.op("ADD %v, %v", strA, rowA)
	k.op("ADD %v, %v", strB, ptrB)
	if fetch {
		k.op("PRFM (%v), PLDL2KEEP", ahead)
		k.op("ADD %v, %v", aheadK, ahead)
	}
	for p := range panelVectors {
		for i := range k.m {
			switch {
			case k.m == 3 && i == 2:
				k.fmlaLane(k.acc(i, p), b(p), a1, 0)
			case i >= 4:
				k.fmlaLane(k.acc(i, p), b(p), a1, i-4)
			default:
				k.fmlaLane(k.acc(i, p), b(p), a0, i)
			}
		}
	}
}

// finish adds res, clamps and stores; or it leaves the sums of a tile whose
// panel is partial in the square and returns.
func (k *neonGEMM) finish() {
	whole, plain, store := k.label("whole"), k.label("plain"), k.label("store")
	k.op("CBZ %v, %s", square, whole)
	for i := range k.m {
		for p := 0; p < panelVectors; p += 2 {
			k.savePair(k.acc(i, p), k.acc(i, p+1), square, i*64+16*p)
		}
	}
	k.op("RET")
	k.at(whole)
	ldc, ptr := strA, ptrB
	k.get("LDC", ldc)
	k.get("Res", ptr)
	k.op("CBZ %v, %s", ptr, plain)
	for i := range k.m {
		for p := 0; p < panelVectors; p += 2 {
			k.loadPair(k.bv(0), k.bv(1), ptr, 16*p)
			k.three("fadd", k.acc(i, p), k.acc(i, p), k.bv(0))
			k.three("fadd", k.acc(i, p+1), k.acc(i, p+1), k.bv(1))
		}
		k.nextRow(i, ldc, ptr)
	}
	k.at(plain)

	// FMAX and FMIN return NaN if the value is one.
	k.get("clamp", t0)
	k.op("CBZ %v, %s", t0, store)
	for _, bound := range []struct{ field, op string }{{"lo", "fmax"}, {"hi", "fmin"}} {
		if bound.field == "hi" {
			k.op("CMP $1, %v", t0)
			k.op("BEQ %s", store)
		}
		k.op("ADD $%d, %v, %v", gemmArgs.Offset(bound.field), args, t1)
		k.broadcast(k.bv(0), t1)
		for i := range k.m {
			for p := range panelVectors {
				k.three(bound.op, k.acc(i, p), k.acc(i, p), k.bv(0))
			}
		}
	}
	k.at(store)
	k.get("C", ptr)
	for i := range k.m {
		for p := 0; p < panelVectors; p += 2 {
			k.savePair(k.acc(i, p), k.acc(i, p+1), ptr, 16*p)
		}
		k.nextRow(i, ldc, ptr)
	}
}

// nextRow moves p from row i of the tile to the next, if there is one.
func (k *neonGEMM) nextRow(i int, ldc, p x) {
	switch {
	case i == k.m-1:
	case k.split && i == k.m/2-1:
		k.get("CJump", t1)
		k.op("ADD %v, %v", t1, p)
	default:
		k.op("ADD %v, %v", ldc, p)
	}
}

// neonGEMMStubs declares the kernels and checks the layout of gemm.Args.
func neonGEMMStubs() []byte {
	var b bytes.Buffer
	b.WriteString(header("gemm"))
	b.WriteString("import \"unsafe\"\n\n" + gemmArgs.Checks())
	fmt.Fprintf(&b, "var _ = [1]struct{}{}[neonRows-%d]\n\n", neonRows)
	var decls bytes.Buffer
	cases := map[string]*bytes.Buffer{"NN": {}, "NNSplit": {}, "TN": {}}
	neonShapes(&asm{}, func(k *neonGEMM) {
		kind := "NN"
		switch {
		case k.tn:
			kind = "TN"
		case k.split:
			kind = "NNSplit"
		}
		fmt.Fprintf(cases[kind], "case %d:\n%s(g, square)\n", k.m, k.name())
		fmt.Fprintf(&decls, "//go:noescape\nfunc %s(args *Args, square *float32)\n\n", k.name())
	})
	for _, kind := range []string{"NN", "NNSplit", "TN"} {
		fmt.Fprintf(&b, "func gemm%sNEON(m int, g *Args, square *float32) {\nswitch m {\n%sdefault:\npanic(\"gemm: no micro-kernel of this shape\")\n}\n}\n\n",
			kind, cases[kind])
	}
	b.Write(decls.Bytes())
	return b.Bytes()
}
