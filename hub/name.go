package hub

import (
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// Kind is where a model is published.
type Kind int

// The kinds of names.
const (
	HuggingFace Kind = iota + 1
	Torchvision
	Keras
	Address // a plain address
)

// Name names a published model.
type Name struct {
	Kind Kind
	// Repo is ORG/NAME, or the network's name (resnet50), or the address.
	Repo string
	// Revision is a branch, tag or commit of the repository; the weights' name of
	// torchvision (IMAGENET1K_V2) or Keras (imagenet, notop); "" for the usual one.
	Revision string
	// File is a file of the repository, if one is named.
	File string
	// SHA256 is the checksum that the user gave, in lower case.
	SHA256 string
}

// String returns a text that [Parse] reads as n.
func (n Name) String() string {
	switch n.Kind {
	case Torchvision, Keras:
		s := map[Kind]string{Torchvision: "torchvision/", Keras: "keras/"}[n.Kind] + n.Repo
		if n.Revision != "" {
			s += ":" + n.Revision
		}
		return s
	case Address:
		if n.SHA256 != "" {
			return n.Repo + "#sha256=" + n.SHA256
		}
		return n.Repo
	}
	s := "hf://" + n.Repo
	if n.Revision != "" {
		s += "@" + n.Revision
	}
	if n.File != "" {
		s += "/" + n.File
	}
	return s
}

var (
	repoName  = regexp.MustCompile(`^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$`)
	shortName = regexp.MustCompile(`^[A-Za-z0-9][\w.-]*$`)
	revision  = regexp.MustCompile(`^[\w./-]+$`)
	sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Parse reads the name of a published model:
//
//	hf://ORG/NAME[@REVISION][/FILE], hf-hub:ORG/NAME[@REVISION]   the Hugging Face hub
//	timm/NAME[@REVISION], ORG/NAME[@REVISION]                     the same
//	torchvision/NAME[:WEIGHTS], keras/NAME[:notop]                their published weights
//	https://…[#sha256=…]                                          an address
//
// ok is false for a text of another form, such as the name of a network.
func Parse(text string) (n Name, ok bool, err error) {
	switch prefix, rest := cutScheme(text); prefix {
	case "https", "http":
		n, err = parseAddress(text)
	case "hf", "hf-hub", "hf_hub", "timm-hub":
		n, err = parseRepo(text, rest)
	case "":
		org, name, found := strings.Cut(text, "/")
		switch {
		case !found:
			return Name{}, false, nil
		case org == "torchvision" || org == "keras":
			n, err = parseWeights(org, name)
		default:
			repo, rev, hasRev := strings.Cut(text, "@")
			if !repoName.MatchString(repo) || hasRev && !shortName.MatchString(rev) {
				return Name{}, false, nil
			}
			n, err = parseRepo(text, text)
		}
	default:
		if strings.HasPrefix(text, prefix+"://") {
			return Name{}, true, fmt.Errorf("%q: addresses of the kind %s are not known; give an https address", text, prefix)
		}
		return Name{}, false, nil
	}
	return n, true, err
}

// cutScheme splits "hf://x", "hf-hub:x" and "https://x".
func cutScheme(text string) (scheme, rest string) {
	scheme, rest, ok := strings.Cut(text, ":")
	if !ok || strings.ContainsAny(scheme, `/@\.`) || len(scheme) < 2 { // a single letter is a drive
		return "", text
	}
	return scheme, strings.TrimPrefix(rest, "//")
}

func parseRepo(text, rest string) (Name, error) {
	n := Name{Kind: HuggingFace}
	parts := strings.SplitN(rest, "/", 2)
	if len(parts) == 2 {
		name, file, _ := strings.Cut(parts[1], "/")
		name, rev, hasRev := strings.Cut(name, "@")
		n.Repo, n.Revision, n.File = parts[0]+"/"+name, rev, file
		if hasRev && rev == "" || hasRev && !safe(rev) {
			return n, fmt.Errorf("%q names no revision after the @: give ORG/NAME@REVISION", text)
		}
	}
	if !repoName.MatchString(n.Repo) || n.File != "" && !safe(n.File) {
		return n, fmt.Errorf("%q is not the name of a repository: give ORG/NAME, such as timm/resnet50.a1_in1k", text)
	}
	return n, nil
}

func parseWeights(org, rest string) (Name, error) {
	n := Name{Kind: map[string]Kind{"torchvision": Torchvision, "keras": Keras}[org]}
	var has bool
	n.Repo, n.Revision, has = strings.Cut(rest, ":")
	if !shortName.MatchString(n.Repo) || has && !shortName.MatchString(n.Revision) {
		return n, fmt.Errorf("%q is not of the form %s/NAME or %s/NAME:WEIGHTS, such as torchvision/resnet50:IMAGENET1K_V2", org+"/"+rest, org, org)
	}
	return n, nil
}

func parseAddress(text string) (Name, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Name{}, fmt.Errorf("the address %q: %w", text, err)
	}
	n := Name{Kind: Address}
	if u.Fragment != "" {
		sum, ok := strings.CutPrefix(u.Fragment, "sha256=")
		sum = strings.ToLower(sum)
		if !ok || !sha256Hex.MatchString(sum) {
			return n, fmt.Errorf("the address %q ends with #%s, must be #sha256= and 64 digits, or nothing", text, u.Fragment)
		}
		n.SHA256 = sum
		u.Fragment = ""
	}
	n.Repo = u.String()
	switch {
	case u.Host == "":
		return n, fmt.Errorf("the address %q names no host", text)
	case u.User != nil:
		return n, fmt.Errorf("the address of %s holds a password: give it without", u.Host)
	case u.Scheme == "http" && n.SHA256 == "" && !loopback(u.Hostname()):
		return n, fmt.Errorf("%s is not encrypted, so that anyone on the way could change the file: give an https address, or add #sha256= and its checksum", text)
	case path.Base(u.Path) == "/" || path.Base(u.Path) == ".":
		return n, fmt.Errorf("the address %q names no file", text)
	}
	return n, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// safe reports whether a relative path or a revision stays in its folder.
func safe(name string) bool {
	return name != "" && !path.IsAbs(name) && path.Clean(name) == name && name != ".." && !strings.HasPrefix(name, "../") &&
		!strings.ContainsAny(name, "\\\x00:") && revision.MatchString(strings.ReplaceAll(name, " ", "_"))
}
