package rules

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// nameForm is what Kubernetes takes for a name (k8s.io/apimachinery,
// pkg/util/validation and pkg/api/validation/path).
type nameForm struct {
	form *regexp.Regexp
	most int
	what string // what it would have to be, for errors at load
	why  string // why a value is refused, behind "The value of x"
}

func (n nameForm) takes(s string) bool { return len(s) <= n.most && n.form.MatchString(s) }

// dns are names of lower-case letters, digits and dashes, with or without dots.
const dns = `[a-z0-9]([-a-z0-9]*[a-z0-9])?`

var nameForms = map[manner]nameForm{
	objectName: {
		regexp.MustCompile(`^` + dns + `(\.` + dns + `)*$`), 253,
		"a name of Kubernetes (lower-case letters, digits, dashes and dots, at most 253)", "is no name that Kubernetes takes",
	},
	pathName: {
		// "." and ".." are the only names of dots that it refuses.
		regexp.MustCompile(`^([^./%]|\.[^./%]|\.\.[^/%])[^/%]*$`), 253,
		"a name of a role or binding (no slash, no percent sign)", "is no name that Kubernetes takes",
	},
	namespaceName: {
		regexp.MustCompile(`^` + dns + `$`), 63,
		"a name of a namespace (lower-case letters, digits and dashes, at most 63)", "is no namespace that Kubernetes takes",
	},
	labelValue: {
		regexp.MustCompile(`^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$`), 63,
		"a label's value (letters, digits, dashes, dots and underscores, at most 63)", "is no value that Kubernetes takes for a label",
	},
}

// labelKey is the key of a label: a name, behind a DNS name and a slash or not.
// Cilium's keys may name their source before that.
var labelKey = regexp.MustCompile(`^([a-z0-9-]+:)?(` + dns + `(\.` + dns + `)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)

// names checks the names and labels of an object and of the objects in it, and
// decides how placeholders in them are filled. Patterns of Kyverno and schemas of
// Gatekeeper look like objects and are none: only their own metadata are.
func (in *inspector) names(object *yaml.Node) {
	how := objectName
	if strings.HasPrefix(get(object, "apiVersion").Value, "rbac.authorization.k8s.io/") {
		how = pathName
	}
	in.metadataNames(get(object, "metadata"), how)
	if in.config.tool == "kyverno" || in.config.tool == "gatekeeper" {
		return
	}
	for i := 1; i < len(object.Content); i += 2 {
		if object.Content[i-1].Value != "metadata" {
			in.innerNames(object.Content[i])
		}
	}
}

// innerNames looks for templates of objects, and for selectors of labels.
func (in *inspector) innerNames(n *yaml.Node) {
	if slices.Contains(keys(n), "apiVersion") && get(n, "kind") != nil {
		in.names(n)
		return
	}
	in.metadataNames(get(n, "metadata"), objectName)
	in.labels(get(n, "matchLabels"), "matchLabels")
	for _, child := range n.Content {
		in.innerNames(child)
	}
}

func (in *inspector) metadataNames(meta *yaml.Node, how manner) {
	in.named(get(meta, "name"), "metadata.name", how)
	in.named(get(meta, "namespace"), "metadata.namespace", namespaceName)
	in.labels(get(meta, "labels"), "labels")
}

func (in *inspector) labels(n *yaml.Node, what string) {
	for i, key := range keys(n) {
		if !labelKey.MatchString(key) {
			in.failf(n.Content[2*i], "%s: %q is no key of a label that Kubernetes takes", what, key)
		}
		in.named(n.Content[2*i+1], what+"."+key, labelValue)
	}
}

// named checks a scalar that is not filled, and has the filler check one that is.
func (in *inspector) named(n *yaml.Node, what string, how manner) {
	switch {
	case n == nil:
	case in.filled(n):
		in.config.quoted[n] = how
	case n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str":
		in.failf(n, "%s: want text, found %s; quote it", what, kind(n))
	case !nameForms[how].takes(n.Value):
		in.failf(n, "%s: %s is not %s", what, kind(n), nameForms[how].what)
	}
}
