package rules

import (
	"encoding"
	"maps"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// walk decodes n into v; what names the value in errors.
func (d *decoder) walk(n *yaml.Node, v reflect.Value, what string) {
	if v.CanAddr() {
		d.lines[v.Addr().Interface()] = n.Line
	}
	if d.custom(n, v, what) {
		return
	}
	if n.ShortTag() == "!!null" && emptiable(v.Kind()) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.walk(n, v.Elem(), what)
	case reflect.Struct:
		d.walkStruct(n, v, what)
	case reflect.Slice:
		d.walkList(n, v, what)
	case reflect.Map:
		d.walkMap(n, v, what)
	case reflect.Interface:
		v.Set(reflect.ValueOf(natural(n)))
	default:
		d.scalar(n, v, what)
	}
}

func emptiable(k reflect.Kind) bool {
	switch k {
	case reflect.Pointer, reflect.Struct, reflect.Slice, reflect.Map, reflect.Interface:
		return true
	}
	return false
}

// custom decodes types that read themselves and reports whether v is one.
func (d *decoder) custom(n *yaml.Node, v reflect.Value, what string) bool {
	if !v.CanAddr() {
		return false
	}
	var err error
	switch u := v.Addr().Interface().(type) {
	case yaml.Unmarshaler:
		err = u.UnmarshalYAML(n)
	case *time.Duration:
		d.duration(n, u, what)
	case encoding.TextUnmarshaler:
		if n.Kind != yaml.ScalarNode {
			d.failf(n.Line, "%s: want a word, found %s", what, kind(n))
			return true
		}
		err = u.UnmarshalText([]byte(n.Value))
	default:
		return false
	}
	if err != nil {
		d.failf(n.Line, "%s: %v", what, err)
	}
	return true
}

func (d *decoder) duration(n *yaml.Node, into *time.Duration, what string) {
	v, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		d.failf(n.Line, "%s: want a duration such as 90s, 30m or 24h, found %s", what, kind(n))
		return
	}
	*into = v
}

func (d *decoder) walkStruct(n *yaml.Node, v reflect.Value, what string) {
	if n.Kind != yaml.MappingNode {
		d.failf(n.Line, "%s: want a map with keys, found %s", what, kind(n))
		return
	}
	fields, names := keysOf(v)
	for i := 0; i < len(n.Content); i += 2 {
		k, value := n.Content[i], n.Content[i+1]
		field, ok := fields[k.Value]
		if !ok {
			d.failf(k.Line, "unknown key %q in %s; %sallowed: %s", k.Value, noun(v.Type(), what), didYouMean(k.Value, names), strings.Join(names, ", "))
			continue
		}
		d.walk(value, field, k.Value)
	}
}

// noun names a struct in an error: "playbook", or the key it stands under.
func noun(t reflect.Type, what string) string {
	switch t.Name() {
	case "":
		return what
	case "File":
		return "playbook file"
	}
	return strings.ToLower(t.Name())
}

// keysOf returns the fields of the struct v by their YAML keys, and the keys in
// the order of the fields.
func keysOf(v reflect.Value) (map[string]reflect.Value, []string) {
	fields, names := map[string]reflect.Value{}, []string(nil)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case name == "-" || !f.IsExported():
			continue
		case strings.Contains(options, "inline"):
			inner, more := keysOf(v.Field(i))
			maps.Copy(fields, inner)
			names = append(names, more...)
			continue
		case name == "":
			name = strings.ToLower(f.Name)
		}
		fields[name] = v.Field(i)
		names = append(names, name)
	}
	return fields, names
}

func (d *decoder) walkList(n *yaml.Node, v reflect.Value, what string) {
	if n.Kind != yaml.SequenceNode {
		d.failf(n.Line, "%s: want a list, found %s", what, kind(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, c := range n.Content {
		d.walk(c, v.Index(i), what)
	}
}

func (d *decoder) walkMap(n *yaml.Node, v reflect.Value, what string) {
	if n.Kind != yaml.MappingNode || v.Type().Key().Kind() != reflect.String {
		d.failf(n.Line, "%s: want a map, found %s", what, kind(n))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i := 0; i < len(n.Content); i += 2 {
		k := n.Content[i]
		value := reflect.New(v.Type().Elem()).Elem()
		d.walk(n.Content[i+1], value, what+"."+k.Value)
		d.lines[entry{v.Pointer(), k.Value}] = k.Line
		v.SetMapIndex(reflect.ValueOf(k.Value).Convert(v.Type().Key()), value)
	}
}
