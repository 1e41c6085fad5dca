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
	return []expr.Option{
		textFunction("base", baseName),
		textFunction("dir", path.Dir),
		testFunction("private", isPrivate),
		testFunction("public", isPublic),
		listFunction("containsAny", strings.Contains),
		listFunction("startsWithAny", strings.HasPrefix),
		listFunction("endsWithAny", strings.HasSuffix),
		listFunction("within", isWithin),
		listFunction("hasWord", hasWord),
	}
}

func textFunction(name string, fn func(string) string) expr.Option {
	return expr.Function(name, func(p ...any) (any, error) { return fn(p[0].(string)), nil }, new(func(string) string))
}

func testFunction(name string, fn func(string) bool) expr.Option {
	return expr.Function(name, func(p ...any) (any, error) { return fn(p[0].(string)), nil }, new(func(string) bool))
}

// listFunction is true when fn is for the first argument and any of the others.
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
	_, err := netip.ParseAddr(ip)
	return err == nil && !isPrivate(ip)
}
