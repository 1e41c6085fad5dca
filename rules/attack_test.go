package rules

import (
	"bufio"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/processor"
)

func loadAttack(t testing.TB) *Attack {
	t.Helper()
	table, err := LoadAttack()
	require.NoError(t, err)
	return table
}

func TestAttackTableIsWhole(t *testing.T) {
	table := loadAttack(t)
	require.Equal(t, "18.1", table.Version())
	require.Len(t, table.tactics, 14)
	require.Len(t, table.techniques, 691)
	require.Len(t, table.retired, 144)
	require.Len(t, table.mitigations, 44)
	for id, row := range table.techniques {
		parent, _, isSub := strings.Cut(id, ".")
		if !isSub {
			parent = ""
		}
		require.Equal(t, parent, row.Parent, id)
		require.NotEmpty(t, row.Tactics, id)
		for _, short := range row.Tactics {
			_, ok := table.Tactic(short)
			require.True(t, ok, "%s serves %s", id, short)
		}
		require.Len(t, table.MitigationsOf(id), len(row.Mitigations), id)
	}
	for id, row := range table.retired {
		require.NotContains(t, table.techniques, id)
		if row.ReplacedBy != "" {
			require.Contains(t, table.techniques, row.ReplacedBy, id)
		}
	}
}

func TestAttackTableHasOneObjectPerLine(t *testing.T) {
	var last string
	lines := bufio.NewScanner(strings.NewReader(string(attackTable)))
	for lines.Scan() {
		if !strings.HasPrefix(lines.Text(), "{\"") {
			last = ""
			continue
		}
		var row struct {
			ID    string `json:"id"`
			Short string `json:"short"`
		}
		require.NoError(t, json.Unmarshal([]byte(strings.TrimSuffix(lines.Text(), ",")), &row))
		if row.Short == "" { // tactics stand in the order of an attack
			require.Less(t, last, row.ID)
		}
		last = row.ID
	}
	require.NoError(t, lines.Err())
}

func TestAttackTechnique(t *testing.T) {
	tests := []struct {
		name, id string
		want     processor.Technique
		ok       bool
	}{
		{
			name: "a technique has its name, link and tactics", id: "T1543", ok: true,
			want: processor.Technique{
				ID: "T1543", Name: "Create or Modify System Process", URL: "https://attack.mitre.org/techniques/T1543/",
				Tactics: []string{"persistence", "privilege-escalation"},
			},
		},
		{
			name: "a sub-technique is named after its parent, and its id may be in lower case", id: "t1059.004", ok: true,
			want: processor.Technique{
				ID: "T1059.004", Name: "Command and Scripting Interpreter: Unix Shell",
				URL: "https://attack.mitre.org/techniques/T1059/004/", Tactics: []string{"execution"},
			},
		},
		{
			name: "a retired id gives its replacement", id: "T1089", ok: true,
			want: processor.Technique{
				ID: "T1562.001", Name: "Impair Defenses: Disable or Modify Tools",
				URL: "https://attack.mitre.org/techniques/T1562/001/", Tactics: []string{"defense-evasion"},
			},
		},
		{name: "a retired id without a replacement gives nothing", id: "T1064"},
		{name: "an unknown id gives nothing", id: "T9999"},
		{name: "a tactic is no technique", id: "TA0003"},
		{name: "no id gives nothing", id: ""},
	}
	table := loadAttack(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := table.Technique(test.id)
			require.Equal(t, test.ok, ok)
			require.Equal(t, test.want, got)
		})
	}
}

func TestAttackTableIsNotChangedThroughItsAnswers(t *testing.T) {
	table := loadAttack(t)
	got, _ := table.Technique("T1059")
	got.Tactics[0] = "changed"
	again, _ := table.Technique("T1059")
	require.Equal(t, []string{"execution"}, again.Tactics)
}

func TestAttackTactic(t *testing.T) {
	table := loadAttack(t)
	want := Tactic{
		ID: "TA0005", Name: "Defense Evasion", Short: "defense-evasion",
		URL: "https://attack.mitre.org/tactics/TA0005/",
	}
	forms := []string{
		"TA0005", "ta0005", "TA0005-defense-evasion", "TA0005_DEFENSE_EVASION", "defense-evasion",
		"Defense Evasion", "mitre_defense_evasion", "MITRE_Defense_Evasion", "mitre_defense-evasion",
	}
	for _, form := range forms {
		t.Run(form, func(t *testing.T) {
			got, ok := table.Tactic(form)
			require.True(t, ok)
			require.Equal(t, want, got)
		})
	}
	for _, other := range []string{"", "mitre_", "mitre_data_destruction", "TA9999", "TA00055", "T1059", "evasion"} {
		t.Run("not "+other, func(t *testing.T) {
			_, ok := table.Tactic(other)
			require.False(t, ok)
		})
	}
}

func TestAttackMitigations(t *testing.T) {
	table := loadAttack(t)
	want := processor.Reference{ID: "M1038", Name: "Execution Prevention", URL: "https://attack.mitre.org/mitigations/M1038/"}
	got, ok := table.Mitigation("m1038")
	require.True(t, ok)
	require.Equal(t, want, got)
	_, ok = table.Mitigation("M9999")
	require.False(t, ok)

	require.Equal(t, []processor.Reference{want}, table.MitigationsOf("T1059.004"))
	require.Equal(t, table.MitigationsOf("T1562.001"), table.MitigationsOf("T1089"), "a retired id has its replacement's")
	require.Empty(t, table.MitigationsOf("T1496"), "ATT&CK lists none")
	require.Empty(t, table.MitigationsOf("T9999"))
}

func TestAttackReadTags(t *testing.T) {
	tests := []struct {
		name       string
		tags       []string
		techniques []string
		tactics    []string
		notes      []string
	}{
		{name: "no tags say nothing"},
		{
			name: "tags that are none of ATT&CK's are passed over",
			tags: []string{
				"", "container", "maturity_stable", "impact", "CVE-2024-3094", "NIST_800-53_AC-2", "PCI_DSS_10.2.5",
				"Pub/Sub", "T10", "T10590", "T1059.4", "xT1059", "TA00031", "mitre", "mitre_", "mitre_<b>",
			},
		},
		{
			name:       "techniques keep the order of the tags and are named once",
			tags:       []string{"T1611", "container", "T1059.004", "t1611"},
			techniques: []string{"T1611", "T1059.004"},
		},
		{
			name:       "words behind an id are passed over",
			tags:       []string{"T1562-impair-defenses", "T1498-DOS", "T1567-exfiltration-to-Cloud-Storage", "TA0005-defense-evasion"},
			techniques: []string{"T1562", "T1498", "T1567"},
			tactics:    []string{"defense-evasion"},
		},
		{
			name:       "a technique and its tactic agree, however they are written",
			tags:       []string{"MITRE_PERSISTENCE", "ta0003", "t1543"},
			techniques: []string{"T1543"},
			tactics:    []string{"persistence"},
		},
		{
			name:    "tactics stand alone where there is no technique",
			tags:    []string{"mitre_exfiltration", "TA0011"},
			tactics: []string{"exfiltration", "command-and-control"},
		},
		{
			name:       "a retired id is replaced and noted, also where its replacement is tagged",
			tags:       []string{"T1089", "T1562.001"},
			techniques: []string{"T1562.001"},
			notes: []string{
				"T1089 Disabling Security Tools is retired from ATT&CK and replaced by T1562.001 Impair Defenses: Disable or Modify Tools",
			},
		},
		{
			name:  "a retired id without a replacement is noted",
			tags:  []string{"T1064"},
			notes: []string{"T1064 Scripting is retired from ATT&CK and nothing replaces it"},
		},
		{
			name: "unknown ids and tactics are noted once and without the words behind them",
			tags: []string{"T9999-<script>", "t9999", "TA9999", "mitre_data_destruction"},
			notes: []string{
				"the tag T9999 is no id of ATT&CK Enterprise 18.1",
				"the tag TA9999 is no id of ATT&CK Enterprise 18.1",
				"the tag mitre_data_destruction names no tactic of ATT&CK Enterprise 18.1",
			},
		},
		{
			name:       "a tactic that contradicts the technique is reported, not believed",
			tags:       []string{"mitre_discovery", "T1565"},
			techniques: []string{"T1565"},
			notes:      []string{"the tag mitre_discovery contradicts T1565 Data Manipulation, which serves impact"},
		},
		{
			name:       "a tactic that one of the techniques serves is believed",
			tags:       []string{"T1059", "T1565", "mitre_impact", "mitre_execution"},
			techniques: []string{"T1059", "T1565"},
			tactics:    []string{"impact", "execution"},
		},
		{
			name:       "a contradiction names every technique and is reported once for a tactic",
			tags:       []string{"T1565", "T1543", "TA0010", "mitre_exfiltration"},
			techniques: []string{"T1565", "T1543"},
			notes: []string{
				"the tag TA0010 contradicts T1565 Data Manipulation, which serves impact, " +
					"and T1543 Create or Modify System Process, which serves persistence and privilege-escalation",
			},
		},
		{
			name:       "a retired id counts as its replacement when tactics are weighed",
			tags:       []string{"mitre_discovery", "T1168"},
			techniques: []string{"T1053"},
			notes: []string{
				"T1168 Local Job Scheduling is retired from ATT&CK and replaced by T1053 Scheduled Task/Job",
				"the tag mitre_discovery contradicts T1053 Scheduled Task/Job, " +
					"which serves execution, persistence and privilege-escalation",
			},
		},
	}
	table := loadAttack(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := table.ReadTags(test.tags)
			require.Equal(t, test.techniques, techniqueIDs(t, got))
			require.Equal(t, test.tactics, tacticNames(got))
			require.Equal(t, test.notes, got.Notes)
		})
	}
}

func techniqueIDs(t *testing.T, r TagReading) (ids []string) {
	for _, technique := range r.Techniques {
		require.Equal(t, "rule tag", technique.Origin)
		ids = append(ids, technique.ID)
	}
	return ids
}

func tacticNames(r TagReading) (names []string) {
	for _, tactic := range r.Tactics {
		names = append(names, tactic.Short)
	}
	return names
}

func FuzzAttackReadTags(f *testing.F) {
	for _, seed := range []string{"T1059.004", "T1562-impair-defenses", "mitre_execution", "TA9999\x1b[31m", "T9999-\n# x", "T1186"} {
		f.Add(seed)
	}
	table := loadAttack(f)
	harmless := regexp.MustCompile(`^[A-Za-z0-9ä .,&:/_-]*$`) // the names of ATT&CK have one letter more: Doppelgänging
	f.Fuzz(func(t *testing.T, tag string) {
		for _, note := range table.ReadTags([]string{tag, "T1565", "mitre_discovery"}).Notes {
			require.Regexp(t, harmless, note)
			require.Less(t, len(note), 250)
		}
	})
}

func TestAttackReadsEveryUpstreamTag(t *testing.T) {
	data := facts(t, "falco-rules.json")
	if data == nil {
		t.Skip("FALCONER_CORPUS is not set: it names a folder of public alerts, with the facts about rules beside it")
	}
	var upstream []struct {
		Rule string   `json:"rule"`
		Tags []string `json:"tags"`
	}
	require.NoError(t, json.Unmarshal(data, &upstream))
	require.NotEmpty(t, upstream)

	table := loadAttack(t)
	mentions := regexp.MustCompile(`(?i)^(ta?[0-9]{4}|mitre_)`)
	notes := map[string]int{}
	for _, rule := range upstream {
		for _, tag := range rule.Tags {
			alone := table.ReadTags([]string{tag})
			said := len(alone.Techniques) + len(alone.Tactics) + len(alone.Notes)
			require.Equal(t, mentions.MatchString(tag), said == 1, "tag %q of %q", tag, rule.Rule)
		}
		for _, note := range table.ReadTags(rule.Tags).Notes {
			notes[note]++
		}
	}
	require.Equal(t, map[string]int{
		"the tag mitre_data_destruction names no tactic of ATT&CK Enterprise 18.1": 1,

		"the tag mitre_discovery contradicts T1565 Data Manipulation, which serves impact":                                                                                                     2,
		"the tag mitre_discovery contradicts T1546.004 Event Triggered Execution: Unix Shell Configuration Modification, which serves persistence and privilege-escalation":                    1,
		"the tag mitre_execution contradicts T1190 Exploit Public-Facing Application, which serves initial-access":                                                                             1,
		"the tag mitre_execution contradicts T1195.002 Supply Chain Compromise: Compromise Software Supply Chain, which serves initial-access":                                                 1,
		"the tag mitre_execution contradicts T1505.003 Server Software Component: Web Shell, which serves persistence":                                                                         1,
		"the tag mitre_initial_access contradicts T1556 Modify Authentication Process, which serves persistence, defense-evasion and credential-access":                                        1,
		"the tag mitre_initial_access contradicts T1611 Escape to Host, which serves privilege-escalation":                                                                                     1,
		"the tag mitre_lateral_movement contradicts T1610 Deploy Container, which serves execution and defense-evasion":                                                                        1,
		"the tag mitre_persistence contradicts T1072 Software Deployment Tools, which serves execution and lateral-movement":                                                                   1,
		"the tag mitre_persistence contradicts T1222.002 File and Directory Permissions Modification: Linux and Mac File and Directory Permissions Modification, which serves defense-evasion": 1,
	}, notes)
}

func BenchmarkLoadAttack(b *testing.B) {
	for b.Loop() {
		if _, err := LoadAttack(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAttackReadTags(b *testing.B) {
	table := loadAttack(b)
	tags := []string{"maturity_stable", "container", "shell", "mitre_execution", "T1059", "NIST_800-53_AC-2"}
	for b.Loop() {
		table.ReadTags(tags)
	}
}
