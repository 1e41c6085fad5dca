package rules

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"falconer/processor"
)

// lets compiles the values that a playbook takes out of fields.
func (c *compiler) lets(lets map[string]Extract) map[string]*extract {
	if len(lets) == 0 {
		return nil
	}
	out := make(map[string]*extract, len(lets))
	for _, name := range sortedKeys(lets) {
		at := entry{mapAddress(lets), name}
		e := lets[name]
		if !letName.MatchString(name) {
			c.failf(at, "let %q: want lower-case letters, digits and underscores", name)
		}
		if len(e.From) == 0 {
			c.failf(at, "let %q has no field to take from", name)
		}
		for i, from := range e.From {
			if strings.HasPrefix(from, "let.") || !placeholderName.MatchString(from) || likely(from) != "" {
				c.failf(&e.From[i], "let %q: %q is no name of an output field", name, from)
			}
		}
		match := c.regexp(at, name, e.Match)
		out[name] = &extract{from: e.From, match: match, needs: needed(match)}
	}
	return out
}

var letName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

func (c *compiler) regexp(at entry, name, pattern string) *regexp.Regexp {
	re, err := regexp.Compile(pattern)
	switch {
	case pattern == "":
		c.failf(at, "let %q has no match", name)
	case err != nil:
		c.failf(at, "let %q: %v", name, err)
	case re.NumSubexp() != 1:
		c.failf(at, "let %q: the match has %d groups in parentheses; want one, which is what is taken (write the others (?:...))", name, re.NumSubexp())
	default:
		return re
	}
	return regexp.MustCompile(`(^)`)
}

// identity compiles what makes two alerts one incident.
func (c *compiler) identity(id *Identity) processor.Identity {
	if id == nil {
		return processor.Identity{}
	}
	for i := range id.Fields {
		c.identityField(&id.Fields[i])
	}
	for name, d := range map[string]*time.Duration{"idle": &id.Idle, "cap": &id.Cap} {
		if *d < 0 {
			c.failf(d, "%s: %s is negative", name, *d)
		}
	}
	if id.Cap > 0 && id.Idle > id.Cap {
		c.failf(&id.Idle, "idle: %s is longer than the cap of %s", id.Idle, id.Cap)
	}
	return processor.Identity{Version: id.Version, Fields: id.Fields, Idle: id.Idle, Cap: id.Cap}
}

func (c *compiler) identityField(name *string) {
	switch {
	case strings.TrimSpace(*name) == "":
		c.failf(name, "identity: a field is empty")
	case strings.HasPrefix(*name, "let."), !placeholderName.MatchString(*name):
		c.failf(name, "identity: %q is no output field and no derived name; derived: %s", *name, strings.Join(processor.DerivedNames(), ", "))
	case likely(*name) != "":
		c.failf(name, "identity: unknown name %q; did you mean %q?", *name, likely(*name))
	case slices.Contains(fleeting, *name):
		c.failf(name, "identity: %q differs from event to event, so that nothing would ever be merged", *name)
	}
}

// fleeting are names whose values never repeat.
var fleeting = []string{"output", "uuid", "evt.time", "evt.rawtime", "evt.num", "proc.pid", "proc.vpid", "proc.ppid", "thread.tid", "evt.time.iso8601"}

func mapAddress[V any](m map[string]V) uintptr { return reflect.ValueOf(m).Pointer() }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
