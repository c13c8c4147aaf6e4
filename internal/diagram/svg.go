package diagram

import (
	"fmt"
	"html"
	"io"
	"strings"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/nn"
)

func escape(s string) string { return html.EscapeString(s) }

// Diagram is a network ready to be drawn.
type Diagram struct {
	title string
	input graph.Type
	root  *item
}

// New returns the diagram of m, called title, for inputs of the given type, whose
// MACs are counted for one image.
func New(title string, m nn.Module, input graph.Type) (*Diagram, error) {
	input.Shape = input.Shape.Clone()
	if len(input.Shape) > 0 {
		input.Shape[0] = 1
	}
	root, err := build(m, input)
	if err != nil {
		return nil, err
	}
	if len(root.items) == 0 {
		root.items = []*item{{path: root.kind, kind: root.kind, label: root.label, out: root.out, params: root.params, macs: root.macs, from: []int{-1}}}
	}
	return &Diagram{title, input, root}, nil
}

// colors and lines, light and dark.
const style = `
:root{--bg:#fff;--ink:#1c2430;--soft:#5b6675;--line:#8a94a3;--skip:#c2410c;--frame:#d5dbe3;--stage:#f6f8fa;--conv:#dbeafe;--linear:#ede9fe;--norm:#ecfdf5;--other:#f1f5f9;--part:#fff7ed;--join:#ffedd5}
@media(prefers-color-scheme:dark){:root{--bg:#11161d;--ink:#e6edf3;--soft:#9aa7b5;--line:#7d8896;--skip:#fb923c;--frame:#323c49;--stage:#181f28;--conv:#1e3a5f;--linear:#3b2f63;--norm:#17392d;--other:#252e3a;--part:#43301c;--join:#5a3413}}
svg text{font:11px system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;text-anchor:middle;fill:var(--ink)}
svg .small{fill:var(--soft);font-size:10px}
svg .head{text-anchor:start;font-weight:600;font-size:12px}
svg .info{text-anchor:start;fill:var(--soft)}
svg .times{text-anchor:start;font-weight:700;font-size:13px;fill:var(--skip)}
svg .box{stroke:var(--frame)}
svg .conv{fill:var(--conv)}svg .linear{fill:var(--linear)}svg .norm{fill:var(--norm)}svg .other{fill:var(--other)}svg .part{fill:var(--part)}svg .join{fill:var(--join)}
svg .frame{fill:var(--bg);stroke:var(--frame)}svg .stage{fill:var(--stage);stroke:var(--frame)}
svg .line{fill:none;stroke:var(--line)}svg .skip{fill:none;stroke:var(--skip);stroke-width:1.6}
svg .dot,svg .tip{fill:var(--line)}svg .skiptip{fill:var(--skip)}svg .page{fill:var(--bg)}
`

const arrow = `<defs>` +
	`<marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerUnits="userSpaceOnUse" markerWidth="8" markerHeight="8" orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker>` +
	`<marker id="skip" viewBox="0 0 8 8" refX="7" refY="4" markerUnits="userSpaceOnUse" markerWidth="9" markerHeight="9" orient="auto"><path class="skiptip" d="M0 0L8 4L0 8z"/></marker></defs>`

// framed draws a titled frame around the block of a run of items.
func framed(r run) *figure {
	inner := block(r.items)
	info := r.kind + " · " + numbers(r.item, 1)
	if r.n > 1 {
		info += " each"
	}
	f := &figure{}
	f.w = max(inner.w, width(r.title())*1.1+30, width(info)+20)
	if r.n > 1 {
		f.w = max(f.w, width(r.title())*1.1+70)
	}
	f.h = inner.h + 2*titleH + 6
	if r.n > 1 { // a pile
		fmt.Fprintf(&f.body, `<rect class="frame" x="6" y="6" width="%.1f" height="%.1f" rx="6"/>`, f.w, f.h)
	}
	fmt.Fprintf(&f.body, `<rect class="frame" width="%.1f" height="%.1f" rx="6"/>`, f.w, f.h)
	fmt.Fprintf(&f.body, `<text class="head" x="10" y="16">%s</text>`, escape(r.title()))
	if r.n > 1 {
		fmt.Fprintf(&f.body, `<text class="times" x="%.1f" y="17">×%d</text>`, f.w-44, r.n)
	}
	fmt.Fprintf(&f.body, `<text class="info" x="10" y="31">%s</text>`, escape(info))
	fmt.Fprintf(&f.body, `<g transform="translate(%.1f %d)">%s</g>`, (f.w-inner.w)/2, 2*titleH, inner.body.String())
	if r.n > 1 {
		f.w, f.h = f.w+6, f.h+6
	}
	return f
}

// stage draws the blocks of a stage side by side, in rows.
func stage(it *item) *figure {
	const perRow = 4
	f := &figure{}
	x, y, rowH := 14.0, 2.0*titleH, 0.0
	for i, r := range runs(it.items) {
		b := framed(r)
		if i > 0 {
			if i%perRow == 0 {
				x, y, rowH = 14, y+rowH+frameGap, 0
			} else {
				fmt.Fprintf(&f.body, `<path class="line" d="M%.1f %.1fh%d" marker-end="url(#arrow)"/>`, x-frameGap+3, y+24, frameGap-6)
			}
		}
		fmt.Fprintf(&f.body, `<g transform="translate(%.1f %.1f)">%s</g>`, x, y, b.body.String())
		x += b.w + frameGap
		rowH = max(rowH, b.h)
		f.w = max(f.w, x-frameGap+14)
	}
	f.h = y + rowH + 14
	info := fmt.Sprintf("%d blocks · %s", len(it.items), numbers(it, 1))
	f.w = max(f.w, width(it.path)*1.1+width(info)+50)
	head := fmt.Sprintf(`<rect class="stage" width="%.1f" height="%.1f" rx="8"/><text class="head" x="14" y="22">%s</text><text class="info" x="%.1f" y="22">%s</text>`,
		f.w, f.h, escape(it.path), 26+width(it.path)*1.15, escape(info))
	out := &figure{w: f.w, h: f.h}
	out.body.WriteString(head + f.body.String())
	return out
}

// draw lays the parts of the network under one another. A network that is no
// chain of parts is drawn as one block, and its backbone under it.
func draw(root *item) *figure {
	if !root.chain() {
		f := block(root.items)
		for _, it := range root.items {
			if it.backbone() {
				f.below(it.path, draw(it))
			}
		}
		return f
	}
	var parts []*figure
	for _, r := range runs(root.items) {
		switch {
		case r.stage():
			for _, it := range root.items { // each stage separately, even if they are equal
				if it == r.item {
					parts = append(parts, stage(it))
				}
			}
		case len(r.items) > 0:
			parts = append(parts, framed(r))
		default:
			f := &figure{w: max(boxWidth(r.item), 150)}
			f.h = f.box(r.item, 0, 0, f.w)
			parts = append(parts, f)
		}
	}
	out := &figure{}
	for _, p := range parts {
		out.w = max(out.w, p.w)
	}
	for i, p := range parts {
		if i > 0 {
			fmt.Fprintf(&out.body, `<path class="line" d="M%.1f %.1fv%d" marker-end="url(#arrow)"/>`, out.w/2, out.h, rowGap+3)
			out.h += rowGap + 4
		}
		fmt.Fprintf(&out.body, `<g transform="translate(%.1f %.1f)">%s</g>`+"\n", (out.w-p.w)/2, out.h, p.body.String())
		out.h += p.h
	}
	return out
}

// below adds a figure under f, with a title.
func (f *figure) below(title string, g *figure) {
	y := f.h + frameGap
	fmt.Fprintf(&f.body, `<text class="head" x="4" y="%.1f">%s</text><g transform="translate(0 %.1f)">%s</g>`+"\n",
		y+16, escape(title), y+titleH+6, g.body.String())
	f.w, f.h = max(f.w, g.w, width(title)*1.1+8), y+titleH+6+g.h
}

func (d *Diagram) totals() string {
	return fmt.Sprintf("input %s · %s · %s MACs an image", shape(d.input.Shape[1:]), params(d.root.params), term.Ops(d.root.macs))
}

// SVG writes the diagram as one SVG picture: blocks that are the same stand once,
// with their number. It follows the reader's choice of light or dark.
func (d *Diagram) SVG(w io.Writer) error {
	f := draw(d.root)
	const margin, head = 20.0, 56.0
	width := max(f.w, width(d.totals())+20) + 2*margin
	height := f.h + head + margin
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">`, width, height, width, height, escape(d.title))
	fmt.Fprintf(&b, "<style>%s</style>%s", style, arrow)
	b.WriteString(`<rect class="page" width="100%" height="100%"/>`)
	fmt.Fprintf(&b, `<text class="head" style="font-size:16px" x="%.0f" y="26">%s</text><text class="info" x="%.0f" y="43">%s</text>`, margin, escape(d.title), margin, escape(d.totals()))
	fmt.Fprintf(&b, "<g transform=\"translate(%.1f %.0f)\">\n%s</g></svg>\n", (width-f.w)/2, head, f.body.String())
	_, err := io.WriteString(w, b.String())
	return err
}
