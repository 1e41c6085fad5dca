package processor

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is written by hand for the sake of speed says the same as what it replaces.

func FuzzFingerprintIsOfCanonicalJSON(f *testing.F) {
	f.Add("rule", "syscall", "cart-7d4b9c6f5-x2x7k", "/bin/sh", 1)
	f.Add("r<&>\"\\\x00\u2028é\xff", "", "", "\x7f", -3)
	f.Fuzz(func(t *testing.T, rule, source, pod, exe string, version int) {
		a := &Alert{Rule: rule, Source: source, Hostname: pod, Fields: map[string]string{"k8s.pod.name": pod, "proc.exepath": exe}}
		for _, fields := range [][]string{nil, {"user"}, {"proc.exepath", "workload", "k8s.pod.name", "proc.exepath"}} {
			fp, values := Fingerprint(a, Identity{Version: version, Fields: fields})
			canonical, err := json.Marshal([]any{version, rule, source, values})
			require.NoError(t, err)
			sum := sha256.Sum256(canonical)
			require.Equal(t, hex.EncodeToString(sum[:8]), fp, string(canonical))
		}
	})
}

func FuzzEventHash(f *testing.F) {
	f.Add(alertJSON(shellRule, epoch, nil))
	seedAlerts(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := Decode(data)
		if err != nil {
			return
		}
		h := sha256.New()
		for _, s := range []string{a.Hostname, a.Rule, a.Source, a.Time.String()} {
			writeCounted(h.Write, s)
		}
		for _, k := range slices.Sorted(maps.Keys(a.Fields)) {
			writeCounted(h.Write, k)
			writeCounted(h.Write, a.Fields[k])
		}
		want := binary.BigEndian.Uint64(h.Sum(nil))
		require.Equal(t, want, eventHash(a))
		d := Options{Book: testBook{}}.withDefaults().digest(data)
		if d.err == nil && !d.heartbeat {
			require.Equal(t, want, d.hash)
		}
	})
}

func writeCounted(write func([]byte) (int, error), s string) {
	_, _ = write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
	_, _ = write([]byte(s))
}

func FuzzWorkload(f *testing.F) {
	suffixes := []*regexp.Regexp{
		regexp.MustCompile(`-[bcdfghjklmnpqrstvwxz2456789]{6,10}-[bcdfghjklmnpqrstvwxz2456789]{5}$`),
		regexp.MustCompile(`-[0-9]{8,11}-[bcdfghjklmnpqrstvwxz2456789]{5}$`),
		regexp.MustCompile(`-[bcdfghjklmnpqrstvwxz2456789]{5}$`),
		regexp.MustCompile(`-[0-9]{1,4}$`),
	}
	for _, pod := range []string{
		"cart-7d4b9c6f5-x2x7k", "backup-28394720-bbbbb", "agent-bbbbb", "db-0", "db-12345", "-bbbbb", "-7d4b9c6f5-bbbbb", "a-7d4b9-bbbbb",
		"a-7d4b9c6f5bbb-bbbbb", "a-b-bbbbb", "a--bbbbb", "a-", "a-aaaaa", "é-0", "a-24567892-bbbbb", "a-0000000000-bbbbb", "a-000000000000-bbbbb",
	} {
		f.Add(pod)
	}
	f.Fuzz(func(t *testing.T, pod string) {
		want := pod
		for _, suffix := range suffixes {
			if at := suffix.FindStringIndex(pod); at != nil && at[0] > 0 {
				want = pod[:at[0]]
				break
			}
		}
		require.Equal(t, want, Workload(pod))
	})
}

// The digest of an alert is what looking at it closely would say.
func FuzzDigest(f *testing.F) {
	seedAlerts(f)
	f.Add(alertJSON(shellRule, epoch, fields{"proc.cmdline": "mysql --password hunter2"}))
	f.Add(alertJSON(shellRule, epoch, fields{"proc.env[DB_PASSWORD]": "hunter2"}))
	f.Add(alertJSON(RuleDrops, epoch, fields{"n_drops": 3}))
	f.Add(alertJSON(RuleSnapshot, epoch, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, level := range RedactionLevels() {
			o := Options{Book: testBook{}, Redaction: Redaction{Level: RedactionLevel(level)}}.withDefaults()
			e, err := o.examine(data)
			d, ok := o.quick(scratches.New().(*scratch), slices.Clone(data))
			if !ok {
				continue
			}
			require.NoError(t, err)
			want := e.digest()
			require.Equal(t, want.heartbeat, d.heartbeat)
			if d.heartbeat {
				continue
			}
			want.seen, want.whole = seenOf(e.alert, words{}), nil
			require.Equal(t, want, d)
			unfolded, err := o.unfold(&d, data)
			require.NoError(t, err)
			require.Equal(t, e, unfolded)
		}
	})
}

// Names of environment variables hide their values whatever their case.
func TestWhatMayHoldASecretIsLookedAtWhole(t *testing.T) {
	for _, name := range []string{"proc.env[DB_PASSWORD]", "proc.ENV[DB_PASSWORD]", "proc.aEnv[2]"} {
		o := Options{Book: testBook{}}.withDefaults()
		_, ok := o.quick(scratches.New().(*scratch), alertJSON(shellRule, epoch, fields{name: "hunter2"}))
		require.False(t, ok, name)
	}
}
