package processor

import (
	"slices"
	"strings"
)

// label names a field in a report's section.
type label struct{ field, name string }

// layout is which fields stand under which heading, in what order. A field in
// none of them is shown under "Other Fields", so that nothing is hidden.
var layout = []struct {
	title  string
	fields []label
}{
	{"Event Details", []label{
		{"evt.type", "Event type"},
		{"evt.res", "Result"},
		{"proc.name", "Process"},
		{"proc.exepath", "Executable path"},
		{"proc.exe", "Executable as called"},
		{"proc.cmdline", "Command line"},
		{"proc.cwd", "Working directory"},
		{"proc.pname", "Parent process"},
		{"proc.pexe", "Parent executable as called"},
		{"proc.pexepath", "Parent executable path"},
		{"proc.pcmdline", "Parent command line"},
		{"proc.aname[2]", "Ancestor 2"},
		{"proc.aname[3]", "Ancestor 3"},
		{"proc.aname[4]", "Ancestor 4"},
		{"proc.aname[5]", "Ancestor 5"},
		{"proc.aname[6]", "Ancestor 6"},
		{"proc.aname[7]", "Ancestor 7"},
		{"proc.aexepath[2]", "Ancestor 2 executable path"},
		{"proc.sname", "Session leader"},
		{"proc.args", "Arguments"},
		{"evt.args", "Event arguments"},
		{"proc.tty", "Terminal"},
		{"evt.arg.flags", "Executable flags"},
		{"proc.pid", "Process id"},
		{"thread.cap_effective", "Effective capabilities"},
		{"proc.exe_ino.ctime", "Executable changed"},
		{"proc.exe_ino.mtime", "Executable modified"},
		{"proc.exe_ino.ctime_duration_proc_start", "Executable changed before start"},
	}},
	{"File", []label{
		{"fd.name", "File"},
		{"fd.nameraw", "Name as given"},
		{"fd.directory", "Directory"},
		{"evt.arg.path", "Path"},
		{"evt.arg.name", "Name"},
		{"evt.arg.target", "Link target"},
		{"evt.arg.linkpath", "Link"},
		{"evt.arg.oldpath", "Old path"},
		{"evt.arg.newpath", "New path"},
		{"evt.arg.filename", "File name"},
	}},
	{"Network", []label{
		{"fd.name", "Connection"},
		{"fd.type", "Socket type"},
		{"fd.l4proto", "Protocol"},
		{"fd.sip", "Server address"},
		{"fd.sport", "Server port"},
		{"fd.cip", "Client address"},
		{"fd.cport", "Client port"},
		{"fd.lip", "Local address"},
		{"fd.lport", "Local port"},
		{"fd.rip", "Remote address"},
		{"fd.rport", "Remote port"},
	}},
	{"User and Group", []label{
		{"user.name", "User"},
		{"user.uid", "UID"},
		{"user.loginname", "Login user"},
		{"user.loginuid", "Login UID"},
		{"group.name", "Group"},
		{"group.gid", "GID"},
	}},
	{"Container and Kubernetes", []label{
		{"k8s.ns.name", "Namespace"},
		{"k8s.pod.name", "Pod"},
		{"k8smeta.ns.name", "Namespace"},
		{"k8smeta.pod.name", "Pod"},
		{"container.name", "Container"},
		{"container.id", "Container id"},
		{"container.image.repository", "Image"},
		{"container.image.tag", "Image tag"},
		{"container.image.digest", "Image digest"},
		{"container.privileged", "Privileged"},
		{"container.mounts", "Mounts"},
		{"container.start_ts", "Container started"},
	}},
	{"Kubernetes Request", []label{
		{"ka.user.name", "User"},
		{"ka.verb", "Verb"},
		{"ka.target.resource", "Resource"},
		{"ka.target.subresource", "Subresource"},
		{"ka.target.namespace", "Namespace"},
		{"ka.target.name", "Name"},
		{"ka.resp.name", "Name in the answer"},
		{"ka.uri", "Path"},
		{"ka.uri.param[command]", "Command to run"},
		{"ka.response.code", "Status"},
		{"ka.response.reason", "Reason of the status"},
		{"ka.auth.decision", "Decision"},
		{"ka.auth.reason", "Reason of the decision"},
		{"ka.sourceips", "Source addresses"},
		{"ka.useragent", "Client"},
		{"ka.req.pod.containers.image", "Images"},
		{"ka.req.pod.initContainers.image", "Images of init containers"},
		{"ka.req.pod.ephemeralContainers.image", "Images of ephemeral containers"},
		{"ka.req.service.ports", "Ports of the service"},
		{"ka.req.configmap.name", "ConfigMap"},
		{"ka.req.role.rules", "Rules of the role"},
		{"ka.req.binding.role", "Role that is bound"},
		{"ka.req.binding.subjects", "Subjects that get it"},
	}},
	{"Cloud Identity and Request", []label{
		{"ct.user", "User"},
		{"ct.user.arn", "ARN of the identity"},
		{"ct.user.accountid", "Account"},
		{"ct.name", "Call"},
		{"ct.src", "Service"},
		{"ct.region", "Region"},
		{"ct.srcip", "Source address"},
		{"ct.useragent", "Client"},
		{"ct.error", "Error"},
		{"ct.request", "Request"},
		{"ct.response", "Response"},
		{"gcp.user", "User"},
		{"gcp.methodName", "Call"},
		{"gcp.serviceName", "Service"},
		{"gcp.projectId", "Project"},
		{"gcp.callerIP", "Source address"},
		{"gcp.userAgent", "Client"},
		{"gcp.authorizationInfo", "Permissions asked for"},
		{"gcp.policyDelta", "Change of the policy"},
		{"gcp.request", "Request"},
		{"okta.actor.name", "Actor"},
		{"okta.target.user.name", "User acted on"},
		{"okta.target.group.name", "Group acted on"},
		{"okta.target.app.alternateid", "Application"},
		{"okta.client.ip", "Source address"},
		{"okta.client.geo.country", "Country"},
		{"okta.reason", "Reason"},
		{"github.user", "User"},
		{"github.org", "Organisation"},
		{"github.owner", "Owner"},
		{"github.repo.name", "Repository"},
		{"github.repo.url", "Address of the repository"},
		{"github.collaborator.name", "Collaborator"},
		{"github.collaborator.role", "Role of the collaborator"},
	}},
}

// Prefixes of other fields that stand under these headings, after those above.
var clusterPrefixes = []string{"ka.", "jevt."}

var actorPrefixes = []string{"json.", "ct.", "gcp.", "okta.", "github.", "s3.", "ec2.", "aws.", "azure.", "gitlab.", "keycloak.", "salesforce."}

// clockFields repeat the alert's time and are not shown again.
var clockFields = []string{"evt.time", "evt.time.iso8601"}

// sections lays the alert's fields out under the headings that apply.
func sections(a *Alert) []Section {
	shown := map[string]bool{}
	for _, f := range clockFields {
		shown[f] = true
	}
	names := sortedKeys(a.Fields)
	out := []Section{}
	for _, part := range layout {
		if s := part.title; s == "File" && networked(a) || s == "Network" && !networked(a) {
			part.fields = slices.DeleteFunc(slices.Clone(part.fields), func(l label) bool { return l.field == "fd.name" || l.field == "fd.type" })
		}
		shows := facts(a, part.fields, shown)
		switch part.title {
		case "Kubernetes Request":
			shows = append(shows, facts(a, unlisted(names, shown, clusterPrefixes), shown)...)
		case "Cloud Identity and Request":
			shows = append(shows, facts(a, unlisted(names, shown, actorPrefixes), shown)...)
		}
		out = appendSection(out, part.title, shows)
	}
	return appendSection(out, "Other Fields", facts(a, unlisted(names, shown, []string{""}), shown))
}

func appendSection(out []Section, title string, facts []Fact) []Section {
	if len(facts) == 0 {
		return out
	}
	return append(out, Section{Title: title, Facts: facts})
}

func facts(a *Alert, fields []label, shown map[string]bool) []Fact {
	var out []Fact
	for _, l := range fields {
		v, ok := a.Fields[l.field]
		if !ok || shown[l.field] {
			continue
		}
		shown[l.field] = true
		out = append(out, Fact{Label: l.name, Field: l.field, Value: v, Note: explainValue(l.field, v)})
	}
	return out
}

// unlisted returns those of the names with one of the prefixes that no heading has shown.
func unlisted(names []string, shown map[string]bool, prefixes []string) []label {
	var out []label
	for _, name := range names {
		if shown[name] {
			continue
		}
		for _, p := range prefixes {
			if strings.HasPrefix(name, p) {
				out = append(out, label{name, name})
				break
			}
		}
	}
	return out
}

// networked reports whether fd.name is a connection rather than a file.
func networked(a *Alert) bool {
	switch a.Fields["fd.type"] {
	case "ipv4", "ipv6":
		return true
	case "":
		return a.Fields["fd.rport"] != "" || strings.Contains(a.Fields["fd.name"], "->")
	}
	return false
}

// explainValue says what a value means where the number alone does not.
func explainValue(field, v string) string {
	switch {
	case field == "proc.tty" && v == "0":
		return "no terminal attached"
	case field == "proc.tty":
		return "a terminal is attached"
	case field == "user.loginuid" && (v == "-1" || v == "4294967295"):
		return "not set: no login session, such as a service or a container"
	case field == "user.uid" && v == "0", field == "user.loginuid" && v == "0":
		return "root"
	case field == "group.gid" && v == "0":
		return "the root group"
	case field == "container.id" && v == "host":
		return "not in a container"
	case field == "evt.arg.flags":
		return explainFlags(v)
	case field == "evt.type" && (v == "execve" || v == "execveat"):
		return "a program was started"
	case strings.HasSuffix(field, "_ts") || strings.HasSuffix(field, ".ctime") || strings.HasSuffix(field, ".mtime"):
		return "nanoseconds since 1970, UTC"
	case strings.HasSuffix(field, "ctime_duration_proc_start"):
		return "nanoseconds"
	}
	return ""
}

// explainFlags names the EXE_ flags that Falco sets on execve.
func explainFlags(v string) string {
	meanings := []struct{ flag, means string }{
		{"EXE_WRITABLE", "the user may write the executable"},
		{"EXE_UPPER_LAYER", "the executable is not part of the image"},
		{"EXE_LOWER_LAYER", "the executable is part of the image"},
		{"EXE_FROM_MEMFD", "the executable lives in memory only"},
	}
	var out []string
	for _, m := range meanings {
		if slices.Contains(strings.Split(v, "|"), m.flag) {
			out = append(out, m.means)
		}
	}
	return strings.Join(out, "; ")
}
