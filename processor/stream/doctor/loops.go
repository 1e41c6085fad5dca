package doctor

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/subjects"
)

// loops looks for streams that feed what Falconer publishes back to it, and for
// those that take its subjects.
func (c *chart) loops() []Finding {
	var out []Finding
	for _, info := range c.all {
		cfg := info.Config
		out = append(out, c.captures(cfg)...)
		out = append(out, c.republishes(cfg)...)
		if cfg.Name == subjects.RawStream || c.feeds(cfg.Name, nil) {
			out = append(out, transforms(cfg)...)
		}
	}
	if len(out) == 0 {
		return ok("no stream feeds Falconer's outputs back to it (" + count(len(c.all), "stream") + " looked at)")
	}
	return out
}

// captures finds other streams that take Falconer's subjects: where ours are not
// made yet they keep them from being made.
func (c *chart) captures(cfg jetstream.StreamConfig) []Finding {
	if cfg.Name == subjects.RawStream || cfg.Name == subjects.OutputStream {
		return nil
	}
	for _, s := range cfg.Subjects {
		if overlap(s, subjects.Own) {
			return []Finding{warn("stream "+cfg.Name+" takes "+s+", which overlaps Falconer's "+subjects.Own,
				"narrow its subjects: nats stream edit "+cfg.Name+" --subjects ...")}
		}
		if overlap(s, subjects.Alerts) && c.streams[subjects.RawStream].info == nil && cfg.Name != c.cfg.Layout.SourceStream {
			return []Finding{warn("stream "+cfg.Name+" takes "+s+" already, so that FALCO cannot be made with "+subjects.Alerts,
				"give it as the source: falconer setup --source-stream "+cfg.Name+" (and the same for falconer run)")}
		}
	}
	return nil
}

// republishes finds streams whose republished messages arrive at Falconer.
func (c *chart) republishes(cfg jetstream.StreamConfig) []Finding {
	r := cfg.RePublish
	if r == nil {
		return nil
	}
	to := wild(r.Destination)
	next := "nats stream edit " + cfg.Name + " --no-republish, or republish to other subjects"
	if overlap(to, subjects.Own) {
		return []Finding{wrong("stream "+cfg.Name+" republishes to "+r.Destination+", into Falconer's own subjects: state or outputs may be written over", next)}
	}
	if !overlap(to, subjects.Alerts) {
		return nil
	}
	for _, held := range c.holds(cfg, nil) {
		ours := overlap(held, subjects.Own) || overlap(held, subjects.Alerts)
		if ours && overlap(held, wild(r.Source)) {
			return []Finding{wrong("stream "+cfg.Name+" republishes "+held+" to "+r.Destination+": what Falconer reads or publishes comes back as new alerts", next)}
		}
	}
	return nil
}

// transforms finds changes of subjects on the way to FALCO that make alerts of
// Falconer's outputs.
func transforms(cfg jetstream.StreamConfig) []Finding {
	var out []Finding
	look := func(t jetstream.SubjectTransformConfig) {
		if overlap(wild(t.Source), subjects.Own) && !overlap(wild(t.Source), subjects.Alerts) && overlap(wild(t.Destination), subjects.Alerts) {
			out = append(out, wrong(fmt.Sprintf("stream %s, which feeds FALCO, turns %s into %s: Falconer's outputs come back as new alerts", cfg.Name, t.Source, t.Destination),
				"remove the transform from stream "+cfg.Name+": nats stream edit "+cfg.Name))
		}
	}
	if cfg.SubjectTransform != nil {
		look(*cfg.SubjectTransform)
	}
	for _, s := range upstream(cfg) {
		for _, t := range s.SubjectTransforms {
			look(t)
		}
		if s.Name == subjects.RawStream || s.Name == subjects.OutputStream {
			out = append(out, wrong("stream "+cfg.Name+", which feeds FALCO, takes messages from "+s.Name+": they come round again",
				"remove the source "+s.Name+" from stream "+cfg.Name+": nats stream edit "+cfg.Name))
		}
	}
	return out
}

func upstream(cfg jetstream.StreamConfig) []*jetstream.StreamSource {
	out := slices.Clone(cfg.Sources)
	if cfg.Mirror != nil {
		out = append(out, cfg.Mirror)
	}
	return out
}

// feeds tells whether messages of the named stream reach FALCO, through others
// or directly.
func (c *chart) feeds(name string, seen []string) bool {
	for _, info := range c.all {
		to := info.Config.Name
		if slices.Contains(seen, to) || !slices.ContainsFunc(upstream(info.Config), func(s *jetstream.StreamSource) bool { return s.Name == name }) {
			continue
		}
		if to == subjects.RawStream || c.feeds(to, append(seen, to)) {
			return true
		}
	}
	return false
}

// holds lists what subjects the messages of a stream may have.
func (c *chart) holds(cfg jetstream.StreamConfig, seen []string) []string {
	if slices.Contains(seen, cfg.Name) {
		return nil
	}
	seen = append(seen, cfg.Name)
	out := slices.Clone(cfg.Subjects)
	if cfg.SubjectTransform != nil {
		out = append(out, wild(cfg.SubjectTransform.Destination))
	}
	for _, s := range upstream(cfg) {
		for _, t := range s.SubjectTransforms {
			out = append(out, wild(t.Destination))
		}
		if s.FilterSubject != "" {
			out = append(out, s.FilterSubject)
		} else if i := slices.IndexFunc(c.all, func(o *jetstream.StreamInfo) bool { return o.Config.Name == s.Name }); i >= 0 && len(s.SubjectTransforms) == 0 {
			out = append(out, c.holds(c.all[i].Config, seen)...)
		}
	}
	return out
}

var placeholder = regexp.MustCompile(`\{\{[^}]*\}\}|\$[0-9]+`)

// wild is a transform's pattern with wildcards for what it fills in; a function
// that makes several tokens is taken for the rest of the subject.
func wild(pattern string) string {
	if pattern == "" {
		return ">"
	}
	tokens := strings.Split(placeholder.ReplaceAllStringFunc(pattern, func(p string) string {
		if strings.Contains(strings.ToLower(p), "split") || strings.Contains(strings.ToLower(p), "slice") {
			return "\x00"
		}
		return "*"
	}), ".")
	for i, t := range tokens {
		switch {
		case strings.Contains(t, "\x00"):
			return strings.Join(append(tokens[:i:i], ">"), ".")
		case strings.Contains(t, "*"):
			tokens[i] = "*"
		}
	}
	return strings.Join(tokens, ".")
}

// overlap tells whether a subject can match both patterns.
func overlap(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		switch {
		case x[i] == ">" || y[i] == ">":
			return true
		case x[i] != y[i] && x[i] != "*" && y[i] != "*":
			return false
		}
	}
	return len(x) == len(y)
}
