package diagram

import (
	"fmt"
	"io"
	"strings"

	"github.com/resnet-go/resnet/internal/term"
)

const page = `
*{box-sizing:border-box}
body{margin:0 auto;padding:1.2rem;max-width:60rem;background:var(--bg);color:var(--ink);font:15px/1.45 system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:1.4rem;margin:0}p{margin:.2rem 0 1rem;color:var(--soft)}
button{font:inherit;font-size:.85rem;padding:.2rem .7rem;margin:0 .4rem 1rem 0;border:1px solid var(--frame);border-radius:6px;background:var(--stage);color:var(--ink);cursor:pointer}
details,.leaf{border:1px solid var(--frame);border-radius:8px;margin:.3rem 0;background:var(--bg)}
details.stage{background:var(--stage)}
summary,.leaf{display:flex;flex-wrap:wrap;gap:.1rem .8rem;align-items:center;padding:.3rem .7rem}
summary{cursor:pointer;list-style:none}summary::-webkit-details-marker{display:none}
summary::before{content:"▸";color:var(--soft);width:.7rem}details[open]>summary::before{content:"▾"}
.leaf::before{content:"";width:.7rem}
summary b,.leaf b{font-weight:600}.k{color:var(--soft)}
.n{margin-left:auto;color:var(--soft);font-size:.82rem;font-variant-numeric:tabular-nums;text-align:right}
.bar{flex:0 0 5rem;height:.5rem;border-radius:3px;background:var(--frame);overflow:hidden}.bar i{display:block;height:100%;background:var(--skip)}
.in{padding:.2rem .7rem .6rem}.in svg{max-width:100%;height:auto;display:block;margin:auto}
.flow{text-align:center;color:var(--line);line-height:.7;font-size:.8rem}
@media(max-width:34rem){.bar{display:none}.n{margin-left:1.5rem;text-align:left}}
`

const script = `
for(const [id,open] of [["open",true],["close",false]])
  document.getElementById(id).onclick=()=>{for(const d of document.querySelectorAll("details"))d.open=open};
`

// HTML writes the diagram as a page that needs no other file: stages and blocks
// fold, a block shows its layers with the shortcut, bars show each part's share of
// the multiply-adds.
func (d *Diagram) HTML(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" content="light dark">
<title>%s</title><link rel="icon" href="data:,"><style>%s%s</style></head><body>
<svg width="0" height="0" style="position:absolute" aria-hidden="true">%s</svg>
<h1>%s</h1><p>%s. The bars are shares of the MACs.</p>
<button id="open">Unfold all</button><button id="close">Fold all</button>
`, escape(d.title), style, page, arrow, escape(d.title), escape(d.totals()))
	if d.root.chain() {
		for i, it := range d.root.items {
			if i > 0 {
				b.WriteString("<div class=\"flow\">↓</div>\n")
			}
			d.fold(&b, it)
		}
	} else {
		fmt.Fprintf(&b, `<div class="in">%s</div>`, standalone(block(d.root.items)))
		for _, it := range d.root.items {
			if !it.backbone() {
				continue
			}
			fmt.Fprintf(&b, "<h2>%s</h2>\n", escape(it.path))
			for _, c := range it.items {
				d.fold(&b, c)
			}
		}
	}
	fmt.Fprintf(&b, "<script>%s</script></body></html>\n", script)
	_, err := io.WriteString(w, b.String())
	return err
}

// fold writes an item that folds, and all inside.
func (d *Diagram) fold(b *strings.Builder, it *item) {
	head := func() {
		share := 0.0
		if d.root.macs > 0 {
			share = 100 * float64(it.macs) / float64(d.root.macs)
		}
		what := it.kind
		if it.label != "" {
			what += " " + it.label
		}
		count := shape(it.out)
		if it.params > 0 {
			count += " · " + params(it.params)
		}
		if it.macs > 0 {
			count += " · " + term.Ops(it.macs) + " MACs"
		}
		name := it.path
		if name == "" {
			name = it.name()
		}
		fmt.Fprintf(b, `<b>%s</b><span class="k">%s</span><span class="n">%s</span><span class="bar" title="%.1f %% of the MACs"><i style="width:%.1f%%"></i></span>`,
			escape(name), escape(what), count, share, share)
	}
	switch {
	case len(it.items) == 0:
		b.WriteString(`<div class="leaf">`)
		head()
		b.WriteString("</div>\n")
	case it.stage():
		b.WriteString(`<details class="stage" open><summary>`)
		head()
		b.WriteString(`</summary><div class="in">` + "\n")
		for _, c := range it.items {
			d.fold(b, c)
		}
		b.WriteString("</div></details>\n")
	default:
		b.WriteString(`<details><summary>`)
		head()
		fmt.Fprintf(b, "</summary><div class=\"in\">%s</div></details>\n", standalone(block(it.items)))
	}
}

// standalone returns a figure as a separate SVG element.
func standalone(f *figure) string {
	return fmt.Sprintf(`<svg width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img">%s</svg>`, f.w, f.h, f.w, f.h, f.body.String())
}
