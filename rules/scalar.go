package rules

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, what string) {
	want, err := "text", error(nil)
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		err = strconv.ErrSyntax
	}
	switch k := v.Kind(); {
	case k == reflect.String:
		v.SetString(n.Value)
	case k == reflect.Bool:
		want = "true or false"
		err = firstError(err, setBool(n, v))
	case v.CanInt():
		want = "a whole number"
		i, bad := strconv.ParseInt(n.Value, 0, v.Type().Bits())
		v.SetInt(i)
		err = firstError(err, bad)
	case v.CanUint():
		want = "a whole number from 0"
		i, bad := strconv.ParseUint(n.Value, 0, v.Type().Bits())
		v.SetUint(i)
		err = firstError(err, bad)
	case v.CanFloat():
		want = "a number"
		f, bad := strconv.ParseFloat(n.Value, v.Type().Bits())
		v.SetFloat(f)
		err = firstError(err, bad)
	default:
		want, err = "nothing", strconv.ErrSyntax
	}
	if err != nil {
		d.failf(n.Line, "%s: want %s, found %s", what, want, kind(n))
	}
}

func setBool(n *yaml.Node, v reflect.Value) error {
	if n.ShortTag() != "!!bool" {
		return strconv.ErrSyntax
	}
	v.SetBool(strings.EqualFold(n.Value, "true"))
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// natural returns n as plain Go values. Numbers keep their digits, and times
// and other words stay as they are spelled.
func natural(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = natural(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		l := make([]any, len(n.Content))
		for i, c := range n.Content {
			l[i] = natural(c)
		}
		return l
	}
	switch tag := n.ShortTag(); {
	case tag == "!!null":
		return nil
	case tag == "!!bool":
		return strings.EqualFold(n.Value, "true")
	case (tag == "!!int" || tag == "!!float") && json.Valid([]byte(n.Value)):
		return json.Number(n.Value)
	}
	return n.Value
}
