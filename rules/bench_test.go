package rules

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"falconer/processor"
)

// BenchmarkJudge shows what the verdict on one alert costs: it must not depend
// on how many playbooks there are.
func BenchmarkJudge(b *testing.B) {
	for _, n := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("playbooks=%d", n), func(b *testing.B) {
			dir := b.TempDir()
			require.NoError(b, os.WriteFile(filepath.Join(dir, "many.yaml"), manyPlaybooks(n), 0o600))
			book := testBook(b, dir)
			a := shellAlert()
			b.ReportAllocs()
			for b.Loop() {
				book.Judge(a)
			}
		})
	}
}

func BenchmarkBuiltinJudge(b *testing.B) {
	book := builtin(b)
	a := shellAlert()
	b.ReportAllocs()
	for b.Loop() {
		book.Judge(a)
	}
}

func BenchmarkIdentity(b *testing.B) {
	book := builtin(b)
	a := shellAlert()
	b.ReportAllocs()
	for b.Loop() {
		book.Identity(a)
	}
}

// BenchmarkBuiltinAdvise is what a report says to do, filled from the alert.
func BenchmarkBuiltinAdvise(b *testing.B) {
	book, _ := loadAll(nil)
	a := shellAlert()
	a.Rule = "Terminal shell in container"
	b.ReportAllocs()
	for b.Loop() {
		book.Advise(a)
	}
}

// BenchmarkBuiltinReport is all that an alert costs which opens an incident, from
// its bytes to the report with its tasks: decoded, judged, advised and rendered.
func BenchmarkBuiltinReport(b *testing.B) {
	book, _ := loadAll(nil)
	l := processor.NewLedger(processor.Options{Book: book, Era: "era"})
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b.ReportAllocs()
	for seq := uint64(1); b.Loop(); seq++ {
		// A day between two lets the one before be closed and forgotten.
		at = at.Add(25 * time.Hour)
		m := processor.Message{Seq: seq, Time: at, Data: openingAlert(seq)}
		for !l.Fold(m, 900) {
			l.Take()
		}
	}
}

// openingAlert is an alert of a workload of its own.
func openingAlert(i uint64) []byte {
	return fmt.Appendf(nil, `{"hostname":"node-1","output":"Notice A shell was spawned in a container with an attached terminal","output_fields":{`+
		`"container.id":"0123456789ab","container.image.repository":"registry.example/shop/cart","container.name":"cart","k8s.ns.name":"shop",`+
		`"k8s.pod.name":"svc-%06d-7d4b9c6f5-x2x7k","proc.cmdline":"bash -i","proc.exepath":"/bin/bash","proc.name":"bash","proc.pname":"nginx","proc.tty":34816,"user.name":"root","user.uid":0},`+
		`"priority":"Notice","rule":"Terminal shell in container","source":"syscall","tags":["T1059","container","shell","mitre_execution"],"time":"2026-01-02T03:04:05Z"}`, i)
}

// shellAlert is an alert that playbook number 0 of manyPlaybooks is for.
func shellAlert() *processor.Alert {
	return &processor.Alert{
		Rule: "Rule 0", Source: "syscall", Priority: processor.Warning, Hostname: "node-1",
		Tags: []string{"container", "shell", "mitre_execution", "T1059"},
		Fields: map[string]string{
			"k8s.ns.name": "shop", "k8s.pod.name": "cart-7d4b9c6f5-x2x7k", "container.name": "cart", "container.id": "0123456789ab",
			"proc.name": "bash", "proc.cmdline": "bash -i", "proc.pname": "nginx", "proc.exepath": "/bin/bash", "user.name": "root", "user.uid": "0",
		},
	}
}

func manyPlaybooks(n int) []byte {
	var b strings.Builder
	b.WriteString("playbooks:\n")
	for i := range n {
		fmt.Fprintf(&b, `
  - id: rule-%[1]d
    version: 1
    title: Rule %[1]d
    match: {rules: [Rule %[1]d]}
    category: execution
    attack: [{id: T1059.004, why: a shell, instead: T1059}]
    adjust:
      - {when: 'f("user.uid") == "0"', add: 15, why: root}
      - {when: 'f("proc.pname") in ["nginx", "httpd"]', add: 10, why: a web server is the parent}
      - {when: 'f("proc.cmdline") matches "-[a-z]*i"', add: 5, why: an interactive shell}
    benign:
      - {cause: A person., tell: Ask., when: 'has("proc.tty") and num("proc.tty") > 0'}
    meaning: The command was {proc.cmdline}.
    next: Look.
`, i)
	}
	return []byte(b.String())
}

func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, _ = loadAll(nil)
	}
}
