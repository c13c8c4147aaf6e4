package resnet

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// licenseTexts are words of each license by which its file is recognized.
var licenseTexts = map[string]string{
	"BSD-3-Clause": "Redistribution and use in source and binary forms",
	"MIT":          "Permission is hereby granted, free of charge",
	"Apache-2.0":   "Apache License",
	"FTL":          "FreeType",
	"OFL-1.1":      "SIL Open Font License",
	"CC-BY-4.0":    "Creative Commons Attribution 4.0",
}

var (
	requirement = regexp.MustCompile(`(?m)^(?:require\s+|\t)(\S+) v\S+`)
	licenseRow  = regexp.MustCompile("(?m)^\\| `(\\S+)` \\| ([^|]+) \\|")
	licenseAnd  = regexp.MustCompile(`, fonts | and `)
)

// docs/licenses.md lists every module that go.mod requires, and no other, with the
// license that the module's own files have.
func TestLicenses(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("docs/licenses.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, row := range licenseRow.FindAllStringSubmatch(string(doc), -1) {
		listed[row[1]] = row[2]
	}
	required := map[string]bool{}
	for _, m := range requirement.FindAllStringSubmatch(string(mod), -1) {
		required[m[1]] = true
		if listed[m[1]] == "" {
			t.Errorf("docs/licenses.md does not have the license of %s", m[1])
		}
	}
	if len(required) < 10 {
		t.Fatalf("go.mod requires only %v", required)
	}
	seen := 0
	for module, licenses := range listed {
		if !required[module] {
			t.Errorf("docs/licenses.md has %s, which go.mod does not require", module)
			continue
		}
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
		dir := strings.TrimSpace(string(out))
		if err != nil || dir == "" {
			continue // it is not in the module cache, such as one of another system
		}
		files, _ := filepath.Glob(filepath.Join(dir, "LICEN*"))
		more, _ := filepath.Glob(filepath.Join(dir, "licenses", "*"))
		text := ""
		for _, path := range append(files, more...) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text += string(b)
		}
		seen++
		for _, name := range licenseAnd.Split(licenses, -1) {
			want, known := licenseTexts[name]
			if !known {
				t.Errorf("%s: the license %s is not one of those that this project accepts", module, name)
			} else if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
				t.Errorf("%s: its files do not have the text of %s", module, name)
			}
		}
	}
	t.Logf("the files of %d modules were read", seen)
}
