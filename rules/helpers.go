package rules

import (
	"net/netip"
	"path"
	"strings"

	"github.com/expr-lang/expr"
)

// helpers are the functions of conditions that expr does not have. They do not
// look at the alert.
func helpers() []expr.Option {
	var out []expr.Option
	for _, name := range []string{"base", "dir"} {
		out = append(out, textFunction(name, textHelper(name)))
	}
	for _, name := range []string{"private", "public"} {
		out = append(out, testFunction(name, testHelper(name)))
	}
	for _, name := range []string{"containsAny", "startsWithAny", "endsWithAny", "within", "hasWord"} {
		out = append(out, listFunction(name, listHelper(name)))
	}
	return out
}

// textHelper returns the helper of that name which makes a text of a text, or nil.
func textHelper(name string) func(string) string {
	switch name {
	case "base":
		return baseName
	case "dir":
		return path.Dir
	}
	return nil
}

// testHelper returns the helper of that name which tests a text, or nil.
func testHelper(name string) func(string) bool {
	switch name {
	case "private":
		return isPrivate
	case "public":
		return isPublic
	}
	return nil
}

// listHelper returns the helper of that name, or nil: it is true when this is true
// of its first argument and any of the others.
func listHelper(name string) func(s, each string) bool {
	switch name {
	case "containsAny":
		return strings.Contains
	case "startsWithAny":
		return strings.HasPrefix
	case "endsWithAny":
		return strings.HasSuffix
	case "within":
		return isWithin
	case "hasWord":
		return hasWord
	}
	return nil
}

func textFunction(name string, fn func(string) string) expr.Option {
	return expr.Function(name, func(p ...any) (any, error) { return fn(p[0].(string)), nil }, new(func(string) string))
}

func testFunction(name string, fn func(string) bool) expr.Option {
	return expr.Function(name, func(p ...any) (any, error) { return fn(p[0].(string)), nil }, new(func(string) bool))
}

func listFunction(name string, fn func(s, each string) bool) expr.Option {
	some := func(p ...any) (any, error) {
		for _, each := range p[1:] {
			if fn(p[0].(string), each.(string)) {
				return true, nil
			}
		}
		return false, nil
	}
	return expr.Function(name, some, new(func(string, string, ...string) bool))
}

// baseName is the last element of a path, and "" of an empty one.
func baseName(p string) string {
	if p == "" {
		return ""
	}
	return path.Base(p)
}

// isWithin reports whether the path p is directory dir or lies below it, after
// ".." is followed.
func isWithin(p, dir string) bool {
	if p == "" {
		return false
	}
	p, dir = path.Clean(p), strings.TrimSuffix(path.Clean(dir), "/")
	return p == dir || strings.HasPrefix(p, dir+"/")
}

// hasWord reports whether the command line has word as one of its arguments,
// bare or in quotes.
func hasWord(line, word string) bool {
	for w := range strings.FieldsSeq(line) {
		if w == word || strings.Trim(w, `"'`) == word {
			return true
		}
	}
	return false
}

// isPrivate reports whether ip is an address that is not routed on the internet.
func isPrivate(ip string) bool {
	if ip == "" {
		return false // without an error, which would be made
	}
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return false
	}
	a = a.Unmap()
	cgn := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10)
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() ||
		a.IsMulticast() || a.IsUnspecified() || cgn.Contains(a)
}

// isPublic reports whether ip is an address, and one of the internet.
func isPublic(ip string) bool {
	if ip == "" {
		return false // without an error, which would be made
	}
	_, err := netip.ParseAddr(ip)
	return err == nil && !isPrivate(ip)
}
