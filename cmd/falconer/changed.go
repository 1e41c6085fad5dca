package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"falconer/processor"
)

// whatChanged says in few words in what two JSON objects of one form differ:
// numbers and single words with their values, lists with how many elements. The
// text made of the other fields is named only when nothing else differs.
func whatChanged(old, now []byte) ([]string, error) {
	var a, b map[string]any
	if err := errors.Join(unmarshal(old, &a), unmarshal(now, &b)); err != nil {
		return nil, fmt.Errorf("comparing outputs: %w", err)
	}
	found := map[string]string{}
	fields(found, a, b)
	var out []string
	keys := slices.Collect(maps.Keys(found))
	slices.SortFunc(keys, func(x, y string) int { return cmp.Or(cmp.Compare(rank(x), rank(y)), cmp.Compare(x, y)) })
	for _, key := range keys {
		if rank(key) < rankText {
			out = append(out, found[key])
		}
	}
	if out == nil {
		out = []string{"text"}
	}
	return out, nil
}

// rankText is the rank of the fields that are made of others.
const rankText = 9

// rank is the place of a field among those that are named.
func rank(key string) int {
	switch key {
	case "severity":
		return 1
	case "score":
		return 2
	case "title":
		return 3
	case "markdown", "summary", "conclusion", "body":
		return rankText
	}
	return 4
}

// nested reports whether a field is looked into, rather than named.
func nested(key string) bool {
	return key == "verdict" || key == "advice" || key == "occurrences" || key == "labels"
}

// word is a text that is short enough to show.
var word = regexp.MustCompile(`^[\w.:@/+-]{1,40}$`)

// unmarshal keeps numbers digit for digit.
func unmarshal(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(into)
}

// fields finds the fields that differ, by name.
func fields(found map[string]string, a, b map[string]any) {
	for key := range union(a, b) {
		old, now := a[key], b[key]
		x, isX := old.(map[string]any)
		y, isY := now.(map[string]any)
		switch {
		case reflect.DeepEqual(old, now):
		case nested(key) && (isX || isY):
			fields(found, x, y)
		default:
			found[key] = change(key, old, now)
		}
	}
}

func union(a, b map[string]any) map[string]any {
	all := maps.Clone(b)
	if all == nil {
		return a
	}
	maps.Copy(all, a)
	return all
}

// change says how one field differs.
func change(key string, old, now any) string {
	key = processor.Visible(key)
	x, isX := list(old)
	y, isY := list(now)
	if isX && isY {
		return countOf(differing(x, y), key)
	}
	if from, to := value(old), value(now); from != "" && to != "" {
		return fmt.Sprintf("%s %s -> %s", key, from, to)
	}
	return key
}

// list is v as a list; what is missing is an empty one, next to a list.
func list(v any) ([]any, bool) {
	l, ok := v.([]any)
	return l, ok || v == nil
}

// differing counts the elements that are not the same, by place.
func differing(x, y []any) int {
	n := max(len(x), len(y)) - min(len(x), len(y))
	for i := range min(len(x), len(y)) {
		if !reflect.DeepEqual(x[i], y[i]) {
			n++
		}
	}
	return n
}

func countOf(n int, key string) string {
	if n == 1 {
		key = strings.TrimSuffix(key, "s")
	}
	return fmt.Sprintf("%d %s", n, key)
}

// value is a number or a single word, and empty for all else.
func value(v any) string {
	switch v := v.(type) {
	case nil:
		return "none"
	case bool, json.Number:
		return fmt.Sprint(v)
	case string:
		if word.MatchString(v) {
			return v
		}
	}
	return ""
}
