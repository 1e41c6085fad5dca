package bench

import (
	"fmt"
	"strings"
	"time"

	"falconer/processor"
)

// rule is what an alert says of the rule that raised it.
type rule struct{ name, priority, tags string }

// ruleTable has forty rules: thirty-six of Falco's own about system calls, each of which has
// a playbook that tells workloads apart, and four of somebody's own.
var ruleTable = [...]rule{
	{"Directory traversal monitored file read", "Warning", "T1555 container filesystem host maturity_stable mitre_credential_access"},
	{"Read sensitive file trusted after startup", "Warning", "T1555 container filesystem host maturity_stable mitre_credential_access"},
	{"Read sensitive file untrusted", "Warning", "T1555 container filesystem host maturity_stable mitre_credential_access"},
	{"Run shell untrusted", "Notice", "T1059.004 container host maturity_stable mitre_execution process shell"},
	{"System user interactive", "Informational", "NIST_800-53_AC-2 T1059 container host maturity_stable mitre_execution users"},
	{"Terminal shell in container", "Notice", "T1059 container maturity_stable mitre_execution shell"},
	{"Contact K8S API Server From Container", "Notice", "T1565 container k8s maturity_stable mitre_discovery network"},
	{"Netcat Remote Code Execution in Container", "Warning", "T1059 container maturity_stable mitre_execution network process"},
	{"Search Private Keys or Passwords", "Warning", "T1552.001 container filesystem host maturity_stable mitre_credential_access process"},
	{"Clear Log Activities", "Warning", "NIST_800-53_AU-10 T1070 container filesystem host maturity_stable mitre_defense_evasion"},
	{"Remove Bulk Data from Disk", "Warning", "T1485 container filesystem host maturity_stable mitre_impact process"},
	{"Create Symlink Over Sensitive Files", "Warning", "T1555 container filesystem host maturity_stable mitre_credential_access"},
	{"Create Hardlink Over Sensitive Files", "Warning", "T1555 container filesystem host maturity_stable mitre_credential_access"},
	{"Packet socket created in container", "Notice", "T1557.002 container maturity_stable mitre_credential_access network"},
	{"Redirect STDOUT/STDIN to Network Connection in Container", "Notice", "T1059 container maturity_stable mitre_execution network process"},
	{"Linux Kernel Module Injection Detected", "Warning", "TA0003 container host maturity_stable mitre_persistence process"},
	{"Debugfs Launched in Privileged Container", "Warning", "T1611 cis container maturity_stable mitre_privilege_escalation process"},
	{"Detect release_agent File Container Escapes", "Critical", "T1611 container maturity_stable mitre_privilege_escalation process"},
	{"PTRACE attached to process", "Warning", "T1055.008 container host maturity_stable mitre_privilege_escalation process"},
	{"PTRACE anti-debug attempt", "Notice", "T1622 container host maturity_stable mitre_defense_evasion process"},
	{"Find AWS Credentials", "Warning", "T1552 aws container host maturity_stable mitre_credential_access process"},
	{"Execution from /dev/shm", "Warning", "T1059.004 container host maturity_stable mitre_execution"},
	{"Drop and execute new binary in container", "Critical", "PCI_DSS_11.5.1 TA0003 container maturity_stable mitre_persistence process"},
	{"Disallowed SSH Connection Non Standard Port", "Notice", "T1059 container host maturity_stable mitre_execution network process"},
	{"Fileless execution via memfd_create", "Critical", "T1620 container host maturity_stable mitre_defense_evasion process"},
	{"Modify Shell Configuration File", "Warning", "T1546.004 container filesystem host maturity_incubating mitre_persistence"},
	{"Schedule Cron Jobs", "Notice", "T1053.003 container filesystem host maturity_incubating mitre_execution"},
	{"DB program spawned process", "Notice", "T1190 container database host maturity_incubating mitre_execution process"},
	{"Change thread namespace", "Notice", "T1611 container host maturity_incubating mitre_privilege_escalation process"},
	{"Non sudo setuid", "Notice", "T1548.001 container host maturity_incubating mitre_privilege_escalation users"},
	{"Launch Package Management Process in Container", "Error", "T1505 container maturity_incubating mitre_persistence process software_mgmt"},
	{"Launch Suspicious Network Tool in Container", "Notice", "T1059 container maturity_incubating mitre_execution network process"},
	{"Delete or rename shell history", "Warning", "T1070 container filesystem host maturity_incubating mitre_defense_evasion process"},
	{"Launch Remote File Copy Tools in Container", "Notice", "T1020 container maturity_incubating mitre_exfiltration network process"},
	{"Mount Launched in Privileged Container", "Warning", "T1611 cis container filesystem maturity_incubating mitre_privilege_escalation"},
	{"Known Cryptominer Process Executed", "Critical", "T1496 container host maturity_sandbox mitre_impact process"},
	{"Acme: payment service reads another tenant's keys", "Error", "acme container T1552"},
	{"Acme: build agent talks to the internet", "Notice", "acme network"},
	{"Acme: unexpected child of the mail gateway", "Warning", "acme mitre_execution"},
	{"Acme: backup job wrote outside its volume", "Debug", ""},
}

// began is when the event of the first alert of every load happened; the next ones
// follow a millisecond apart. Falconer's clock is the server's, not this.
var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// shape is the form in which falcosidekick publishes Falco's alerts: its struct's
// keys in their order, output fields sorted, no header.
const shape = `{"uuid":"%08x-0000-4000-8000-%012x","output":"%s: %s %s | evt_type=execve user=app user_uid=1000 user_loginuid=-1 process=sh proc_exepath=/bin/busybox parent=containerd-shim command=%s terminal=0 container_id=%012x container_name=app container_image_repository=registry.example/shop/%s container_image_tag=v1.2.3 k8s_pod_name=%s k8s_ns_name=shop","priority":"%s","rule":"%s","time":"%s","output_fields":{"container.id":"%012x","container.image.repository":"registry.example/shop/%s","container.image.tag":"v1.2.3","container.name":"app","evt.time":%d,"evt.type":"execve","fd.name":null,"k8s.ns.name":"shop","k8s.pod.name":"%s","proc.cmdline":"%s","proc.cwd":"/srv","proc.exepath":"/bin/busybox","proc.name":"sh","proc.pname":"containerd-shim","proc.tty":0,"user.loginuid":-1,"user.name":"app","user.uid":1000},"source":"syscall","tags":%s,"hostname":"node-%02d"}`

// Alert is the i-th alert, and the subject to which falcosidekick publishes it. It
// has some 1,250 bytes and 18 output fields. Every tenth fetches something from
// elsewhere, which playbooks take for graver.
func (l Load) Alert(i int) (subject string, data []byte) {
	w := l.Mix.workload(l, i)
	r, name, at := ruleTable[w%len(ruleTable)], fmt.Sprintf("svc-%06d", w), began.Add(time.Duration(i)*time.Millisecond)
	pod := name + "-7c9d8f6b5c-" + [...]string{"x2k4p", "v8bqz", "mm5tw"}[i%3]
	command := fmt.Sprintf("sh -c run-job --number %08d", i)
	if i%10 == 9 {
		command = fmt.Sprintf("sh -c wget -q http://203.0.113.7/s?n=%08d", i)
	}
	when := at.Format(time.RFC3339Nano)
	data = fmt.Appendf(nil, shape, l.Seed&0xffffffff, i, at.Format("15:04:05.000000000"), r.priority, r.name, command, w, name, pod,
		r.priority, r.name, when, w, name, at.UnixNano(), pod, command, r.tagList(), i%12)
	return "falco." + strings.ToLower(r.priority) + "." + processor.Slug(r.name), data
}

// tagList is a JSON list; of a rule without tags it holds one that is empty, as
// falcosidekick makes it when it was installed by Helm.
func (r rule) tagList() string {
	return `["` + strings.Join(strings.Fields(r.tags), `","`) + `"]`
}
