// Package rules is the knowledge of Falconer: playbooks that say what an alert
// means and what to do about it, and the MITRE ATT&CK table.
//
// A Book, made by Load, implements processor.Book. The rest of this page is for
// people who write playbooks; the keys are documented at Playbook.
//
// # Which playbook is taken
//
// One playbook is taken for an alert, the first of these that there is:
//
//	user rule > user tag > built-in rule > built-in tag > source > priority
//
// A tag is matched as it is written (tags: [pci]); one that ATT&CK knows, in any
// of its spellings, is matched by meaning: first the sub-techniques that the
// rule's tags name (T1059.004), then techniques, then parents of the
// sub-techniques (T1059), then tactics (TA0002, mitre_execution). A user's
// playbook or shared mitigation with the id of a built-in one replaces it.
//
// Playbooks with match: {all: true} are not taken. They give every alert their
// adjustments, their lets, and those of their benign causes whose condition
// holds, and have nothing else but examples.
//
// # Placeholders
//
// Prose, command arguments and the values (not the keys) of configuration may
// hold placeholders in braces:
//
//	{proc.cmdline} {proc.aname[2]}   an output field of the alert
//	{let.file}                       a value taken out by let, the playbook's or
//	                                 that of a playbook for all alerts
//	{rule} {source} {priority} {hostname} {output}
//	{cluster} {namespace} {pod} {workload} {container} {image} {host}
//	{executable} {process} {user} {place}
//	                                 what processor.Derive finds in the fields
//	{k8s.ns.name|the namespace}      with a default, which is the playbook's text
//	{your.bucket}                    nothing an alert has: the operator fills it in
//	{{                               an opening brace; a closing one is itself
//
// A value is absent when it is null, "<NA>" or empty. What becomes of it:
//
//   - In prose a value is a code span, and an absent one reads "(not in the
//     alert)". An answer to a question is only given when all its values are there.
//   - In a command every argument, the playbook's own too, is quoted for the
//     shell by one function. There is no other way in.
//   - In configuration a scalar with a placeholder is always a string in double
//     quotes; port: !!int "{fd.rport}" is a number when the value is one.
//   - In lines (fstab, sysctl, ...) only letters, digits and ._/:@=+,- come in.
//   - In a Falco exception values get Falco's own quotes as well.
//
// Where a value is absent, was cut on its way, had a secret redacted from it, or
// cannot safely stand where it should, <name> stands in its place and the
// command or configuration is not ready. Values that cannot safely stand:
//
//   - NUL, in a command.
//   - A value at the beginning of an argument that begins with a dash, unless it
//     stands behind "--" with only values between: the program would take it for
//     an option. In [kubectl, exec, "{pod}", --, cat, --, "{fd.name}"] the first
//     "--" is kubectl's and the second one cat's.
//   - Anything but a plain word inside an argument with quotes, $ or a backslash,
//     and anywhere in the arguments of ssh, watch, xargs and their like: there
//     another language begins, in which our quoting means nothing.
//   - A slash or leading dot in the name of a file to write (to).
//   - What Kubernetes would refuse, in configuration for kubernetes, cilium, calico,
//     kyverno and gatekeeper: a metadata.name that is no DNS name of lower-case
//     letters (of a role or binding: one with a slash or percent sign), a
//     metadata.namespace that is more than one label of such a name, and a value of
//     labels or matchLabels that is none of a label.
//
// A value as the program itself, inside a script (sh -c, python -c, psql -c) or
// inside the program of awk, sed or jq is an error at load. Hand it over:
//
//	run: [sh, -c, 'sort -- "$1" | uniq -c', sh, "{fd.name}"]
//	run: [jq, --arg, pod, "{pod}", 'select(.objectRef.name == $pod)', audit.log]
//
// # Conditions
//
// A condition (when) is an expression of https://expr-lang.org that is true or
// false. It knows:
//
//	rule source hostname output   string
//	priority                      string: "Emergency" "Alert" "Critical" "Error"
//	                              "Warning" "Notice" "Informational" "Debug" "Unknown"
//	place                         string: "kubernetes" "container" "host" "cluster" "cloud"
//	tags                          list of strings
//	f(name)                       string: the value that {name} has, or ""
//	has(name)                     bool: whether it has one
//	num(name)                     int: the value, or -1 when it is absent or no
//	                              whole number, so that num("user.uid") == 0
//	                              means root and not "unknown"
//	let(name)                     string: the value that {let.name} has, or ""
//	base(s) dir(s)                string: the last element of a path, its directory
//	within(path, dir...)          bool: path is a dir or below one, ".." followed
//	containsAny(s, part...)       bool; likewise startsWithAny and endsWithAny
//	hasWord(line, word...)        bool: a word of a command line is one of these
//	private(ip) public(ip)        bool: an address not routed on, or of, the
//	                              internet; both are false for anything else
//
// beside expr's operators (== != < and or not in contains startsWith endsWith
// matches ?: ??) and functions (lower, upper, trim, split, len, any, all, ...).
// The right side of matches is a regular expression (RE2). What reads a clock or
// has no fixed order is switched off. An unknown name and a result that is not
// true or false are errors at load. A condition that fails when it is evaluated
// does not hold, and the verdict has a note that says so.
//
// A let takes the only group of its match out of the first of its from fields
// that matches: from may name derived names, hostname and output too.
package rules
