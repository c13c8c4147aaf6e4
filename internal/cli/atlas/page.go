package atlas

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"

	"github.com/resnet-go/resnet/internal/term"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string

	page = template.Must(template.New("page").Parse(pageHTML))
)

// content is what the page's script reads.
type content struct {
	Cell       int          `json:"cell"`    // pixels of a thumbnail's square
	Edge       int          `json:"edge"`    // pixels around a thumbnail
	Columns    int          `json:"columns"` // squares in a row of a sheet
	Sheets     [][]byte     `json:"sheets"`  // JPEG
	Sizes      []int        `json:"sizes"`   // width and height of each thumbnail
	Names      []string     `json:"names"`
	X          []int        `json:"x"` // 0 to 65535
	Y          []int        `json:"y"`
	Labels     []int        `json:"labels"`
	Classes    []string     `json:"classes"`
	ClustersOf []int        `json:"clusters_of"`
	Clusters   []group      `json:"clusters"`
	NearCount  int          `json:"near_count"`
	Near       []int        `json:"near"`    // NearCount of each picture, -1 for none
	Similar    []int        `json:"similar"` // hundredths
	Duplicates [][]int      `json:"duplicates"`
	Outliers   []int        `json:"outliers"`
	Mislabeled []Mislabeled `json:"mislabeled"`
}

type group struct {
	About   string `json:"about"`
	Typical []int  `json:"typical"`
}

// HTML writes the page: one file that loads nothing from anywhere.
func (m *Map) HTML(w io.Writer) error {
	c := content{Edge: edge, Columns: sheetColumns, Classes: m.Classes, ClustersOf: m.Of, NearCount: nearest,
		Duplicates: m.Duplicates[:min(maxGroups, len(m.Duplicates))], Outliers: m.Outliers, Mislabeled: m.Mislabeled}
	if c.Classes == nil {
		c.Classes = []string{}
	}
	if c.Duplicates == nil {
		c.Duplicates = [][]int{}
	}
	if c.Mislabeled == nil {
		c.Mislabeled = []Mislabeled{}
	}
	var err error
	if c.Cell, c.Sheets, err = m.sheets(); err != nil {
		return err
	}
	for i, p := range m.Pictures {
		c.Names = append(c.Names, strings.ToValidUTF8(p.Name, "\uFFFD"))
		c.Labels = append(c.Labels, p.Label)
		c.Sizes = append(c.Sizes, p.Thumb.W, p.Thumb.H)
		c.X = append(c.X, int(math.Round(65535*m.Places[i][0])))
		c.Y = append(c.Y, int(math.Round(65535*m.Places[i][1])))
		for k := range nearest {
			row, similar := -1, 0
			if k < len(m.Near[i]) {
				row, similar = m.Near[i][k].Row, int(math.Round(100*float64(m.Near[i][k].Similarity)))
			}
			c.Near, c.Similar = append(c.Near, row), append(c.Similar, similar)
		}
	}
	for _, g := range m.Clusters {
		about := term.Plural(g.Size, "picture")
		if g.Class >= 0 {
			about += fmt.Sprintf(", %.0f %% %s", 100*g.Share, m.Classes[g.Class])
		}
		c.Clusters = append(c.Clusters, group{about, g.Typical})
	}
	data, err := json.Marshal(c) // with < and > escaped, so that it cannot end the script
	if err != nil {
		return err
	}
	duplicates := "Pictures that are one but for size, brightness or compression: similar to the model, and the correlation of their pixels is 0.95 or more."
	if n := len(m.Duplicates); n > maxGroups {
		duplicates += fmt.Sprintf(" The largest %d of %d groups.", maxGroups, n)
	}
	return page.Execute(w, struct {
		Title, About, Policy                       string
		Clusters, Mislabeled, Duplicates, Outliers string
		CSS                                        template.CSS
		JS, Data                                   template.JS
	}{m.Title, m.About, policy(), "Found by k-means in the features. The pictures nearest to the center of each group.",
		fmt.Sprintf("Of the %d most similar pictures, none has the class of the picture, and three quarters or more have one other class.", apart),
		duplicates, fmt.Sprintf("The pictures that are least similar to their %d nearest neighbors.", apart),
		template.CSS(pageCSS), template.JS(pageJS), template.JS(data)})
}

// policy is the page's Content-Security-Policy: its own style and script, pictures
// inside it, and nothing else.
func policy() string {
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; img-src data:; style-src " + hash(pageCSS) + "; script-src " + hash(pageJS) + "; base-uri 'none'; form-action 'none'"
}
