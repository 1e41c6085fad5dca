package processor

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

func (a *Alert) decodeFields(raw json.RawMessage) error {
	a.Fields = map[string]string{}
	if isNull(raw) {
		a.Notes = append(a.Notes, "the alert has no output fields")
		return nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return undecodable("\"output_fields\" must be an object, found %s", head(raw))
	}
	total := 0
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		limit := MaxValueBytes
		if total > MaxTotalBytes {
			limit = 64
		}
		a.addField(name, fields[name], limit)
		total += len(a.Fields[name])
	}
	return nil
}

func (a *Alert) addField(name string, raw json.RawMessage, limit int) {
	if len(name) > MaxNameBytes || len(a.Fields)+len(a.Absent) >= MaxFieldCount {
		if note := "some output fields were left out: too many of them, or with names too long"; !slices.Contains(a.Notes, note) {
			a.Notes = append(a.Notes, note)
		}
		return
	}
	v, ok := fieldText(raw)
	if !ok {
		a.Absent = append(a.Absent, name)
		return
	}
	a.Fields[name] = a.bound(name, v, limit)
}

// fieldText returns a value as text; false when it stands for "no value".
func fieldText(raw json.RawMessage) (string, bool) {
	switch raw[0] {
	case '"':
		var s string
		_ = json.Unmarshal(raw, &s) // it was validated with the whole
		return s, s != "<NA>" && s != ""
	case '{', '[':
		var b bytes.Buffer
		_ = json.Compact(&b, raw)
		return strings.ToValidUTF8(b.String(), "\uFFFD"), true
	case 'n':
		return "", false
	}
	return string(raw), true
}

// bound cuts v to limit bytes at a character's border, and notes in Cut what is
// cut here or was cut by falcosidekick on the way.
func (a *Alert) bound(name, v string, limit int) string {
	if len(v) <= limit {
		if strings.HasSuffix(v, falcoCutMarker) && len(v) > len(falcoCutMarker) {
			a.cut(name)
		}
		return v
	}
	a.cut(name)
	end := limit
	for end > 0 && !utf8.RuneStart(v[end]) {
		end--
	}
	return v[:end]
}

func (a *Alert) cut(name string) {
	if !slices.Contains(a.Cut, name) {
		a.Cut = append(a.Cut, name)
	}
}
