package rules

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// iamDocument is an IAM policy. Every key that there may be is here, so that
// another is an error.
type iamDocument struct {
	Version   string
	ID        string `json:"Id"`
	Statement oneOrMore[iamStatement]
}

type iamStatement struct {
	Sid          string
	Effect       string
	Principal    json.RawMessage
	NotPrincipal json.RawMessage
	Action       oneOrMore[string]
	NotAction    oneOrMore[string]
	Resource     oneOrMore[string]
	NotResource  oneOrMore[string]
	Condition    map[string]map[string]oneOrMore[any]
}

// oneOrMore is a value that may stand without the list around it.
type oneOrMore[T any] []T

func (o *oneOrMore[T]) UnmarshalJSON(data []byte) error {
	var one T
	if data[0] != '[' {
		*o = append(*o, one)
		return strictJSON(string(data), &(*o)[0])
	}
	return strictJSON(string(data), (*[]T)(o))
}

var (
	iamSid      = regexp.MustCompile(`^[A-Za-z0-9]*$`)
	iamAction   = regexp.MustCompile(`^(\*|[a-z0-9-]+:[A-Za-z*?][A-Za-z0-9*?]*)$`)
	iamResource = regexp.MustCompile(`^(\*|arn:(aws|aws-cn|aws-us-gov|\*):[a-z0-9*-]*:[a-z0-9*-]*:([0-9]{12}|\*|aws)?:\S+)$`)
	iamOperator = regexp.MustCompile(`^((ForAllValues|ForAnyValue):)?((String(Not)?(Equals|EqualsIgnoreCase|Like))|(Numeric|Date)((Not)?Equals|(Less|Greater)Than(Equals)?)|Bool|BinaryEquals|(Not)?IpAddress|Arn(Not)?(Equals|Like)|Null)(IfExists)?$`)
	iamKey      = regexp.MustCompile(`^[a-z0-9-]+:[A-Za-z0-9/_.:<>-]+$`)
)

// unfilled stands for what the operator fills in: an account's id fits most.
const unfilled = "000000000000"

// iamPolicy makes a reader of policies; where a policy is put decides what a
// statement may say.
func iamPolicy(place func(iamStatement) string) func(string) []string {
	return func(body string) (problems []string) {
		var d iamDocument
		if err := strictJSON(placeholder.ReplaceAllString(body, unfilled), &d); err != nil {
			return []string{err.Error()}
		}
		if d.Version != "2012-10-17" {
			problems = append(problems, fmt.Sprintf("Version %q", d.Version))
		}
		if len(d.Statement) == 0 {
			problems = append(problems, "no Statement")
		}
		for i, s := range d.Statement {
			found := s.problems()
			if problem := place(s); problem != "" {
				found = append(found, problem)
			}
			for _, p := range found {
				problems = append(problems, fmt.Sprintf("Statement %d: %s", i, p))
			}
		}
		return problems
	}
}

func (s iamStatement) hasPrincipal() bool { return s.Principal != nil || s.NotPrincipal != nil }

func (s iamStatement) hasResource() bool { return len(s.Resource)+len(s.NotResource) > 0 }

// iamOfIdentity is for a policy of users and roles, or for the trust policy of a
// role, which alone names principals and has no resource.
func iamOfIdentity(s iamStatement) string {
	if s.hasPrincipal() == s.hasResource() {
		return "want a resource, or a principal in a trust policy"
	}
	return ""
}

func iamOfAccounts(s iamStatement) string {
	if s.hasPrincipal() || !s.hasResource() {
		return "a service control policy has resources and no principal"
	}
	return ""
}

func iamOfResources(s iamStatement) string {
	switch {
	case s.Effect != "Deny" || string(s.Principal) != `"*"` || !s.hasResource() || len(s.NotAction) > 0:
		return `a resource control policy denies actions on resources to the principal "*"`
	case slices.Contains(s.Action, "*"):
		return "a resource control policy names a service in each action"
	}
	return ""
}

func iamOfBucket(s iamStatement) string {
	for _, r := range s.Resource {
		if !strings.HasPrefix(r, "arn:aws:s3:::") {
			return "resource " + r + " is no bucket's"
		}
	}
	if !s.hasPrincipal() || !s.hasResource() {
		return "a bucket policy has principals and resources"
	}
	return ""
}

// bucketEncryption reads what put-bucket-encryption takes.
func bucketEncryption(body string) []string {
	var c struct {
		Rules []struct {
			ApplyServerSideEncryptionByDefault struct{ SSEAlgorithm, KMSMasterKeyID string }
			BucketKeyEnabled                   bool
		}
	}
	if err := strictJSON(body, &c); err != nil {
		return []string{err.Error()}
	}
	if len(c.Rules) != 1 {
		return []string{fmt.Sprintf("%d rules", len(c.Rules))}
	}
	if is := c.Rules[0].ApplyServerSideEncryptionByDefault; !slices.Contains([]string{"AES256", "aws:kms", "aws:kms:dsse"}, is.SSEAlgorithm) || is.SSEAlgorithm == "AES256" && is.KMSMasterKeyID != "" {
		return []string{fmt.Sprintf("encryption %q", is)}
	}
	return nil
}

func (s iamStatement) problems() (out []string) {
	failf := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if !iamSid.MatchString(s.Sid) {
		failf("Sid %q", s.Sid)
	}
	if !slices.Contains([]string{"Allow", "Deny"}, s.Effect) {
		failf("Effect %q", s.Effect)
	}
	if (len(s.Action) == 0) == (len(s.NotAction) == 0) {
		failf("want one of Action and NotAction")
	}
	if len(s.Resource) > 0 && len(s.NotResource) > 0 {
		failf("want one of Resource and NotResource")
	}
	for _, action := range slices.Concat(s.Action, s.NotAction) {
		if !iamAction.MatchString(action) {
			failf("action %q", action)
		}
	}
	for _, resource := range slices.Concat(s.Resource, s.NotResource) {
		if !iamResource.MatchString(resource) {
			failf("resource %q", resource)
		}
	}
	return append(out, s.conditions()...)
}

func (s iamStatement) conditions() (out []string) {
	for _, operator := range sortedKeys(s.Condition) {
		if !iamOperator.MatchString(operator) {
			out = append(out, fmt.Sprintf("condition operator %q", operator))
		}
		for _, key := range sortedKeys(s.Condition[operator]) {
			if !iamKey.MatchString(key) {
				out = append(out, fmt.Sprintf("condition key %q", key))
			}
			if len(s.Condition[operator][key]) == 0 {
				out = append(out, fmt.Sprintf("condition key %q without a value", key))
			}
			for _, v := range s.Condition[operator][key] {
				if text := fmt.Sprint(v); !strings.Contains(text, unfilled) && !iamValue(operator, text) {
					out = append(out, fmt.Sprintf("%s wants another value than %q", operator, text))
				}
			}
		}
	}
	return out
}

// iamValue reports whether the operator compares with such a value.
func iamValue(operator, value string) bool {
	_, operator, _ = strings.Cut(":"+operator, ":")
	operator = strings.TrimSuffix(operator[strings.Index(operator, ":")+1:], "IfExists")
	switch {
	case operator == "Bool" || operator == "Null":
		return value == "true" || value == "false"
	case strings.HasSuffix(operator, "IpAddress"):
		_, errNet := netip.ParsePrefix(value)
		_, errIP := netip.ParseAddr(value)
		return errNet == nil || errIP == nil
	case strings.HasPrefix(operator, "Arn"):
		return iamResource.MatchString(value)
	case strings.HasPrefix(operator, "Numeric"):
		_, err := strconv.ParseFloat(value, 64)
		return err == nil
	case strings.HasPrefix(operator, "Date"):
		_, err := time.Parse(time.RFC3339, value)
		return err == nil
	}
	return true
}

const iamGood = `{"Version": "2012-10-17", "Statement": [{"Sid": "A1", "Effect": "Deny", "Action": ["s3:Put*", "*"],
	"Resource": "arn:aws:s3:::b/*", "Condition": {"StringNotEqualsIfExists": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/x"}}}]}`

func iamBad(from, to string) string { return strings.Replace(iamGood, from, to, 1) }

var iamBites = []bite{
	{"aws-iam", "an unknown key", iamGood, iamBad(`"Effect"`, `"Effects"`), "Effects"},
	{"aws-iam", "another version", iamGood, iamBad("2012-10-17", "2024-10-17"), "Version"},
	{"aws-iam", "an effect that there is not", iamGood, iamBad("Deny", "Forbid"), "Effect"},
	{"aws-iam", "a Sid with a dash", iamGood, iamBad("A1", "a-1"), "Sid"},
	{"aws-iam", "an action without a service", iamGood, iamBad("s3:Put*", "PutObject"), "action"},
	{"aws-iam", "no action", iamGood, iamBad(`"Action": ["s3:Put*", "*"],`, ""), "want one of Action"},
	{"aws-iam", "a resource that is no ARN", iamGood, iamBad("arn:aws:s3:::b/*", "b/*"), "resource"},
	{"aws-iam", "an operator that there is not", iamGood, iamBad("StringNotEqualsIfExists", "StringDiffers"), "operator"},
	{"aws-iam", "a condition key without a service", iamGood, iamBad("aws:PrincipalArn", "PrincipalArn"), "condition key"},
	{"aws-iam", "a value that the operator cannot compare", iamGood, iamBad("StringNotEqualsIfExists", "ForAnyValue:Bool"), "another value"},
	{"aws-iam", "a principal beside a resource", iamGood, iamBad(`"Action"`, `"Principal": "*", "Action"`), "trust policy"},
	{"aws-scp", "a principal", iamGood, iamBad(`"Action"`, `"Principal": "*", "Action"`), "no principal"},
	{"aws-rcp", "an action of no service", iamOfAll, strings.Replace(iamOfAll, "s3:Put*", "*", 1), "names a service"},
	{"aws-rcp", "a principal by name", iamOfAll, strings.Replace(iamOfAll, `"Principal": "*"`, `"Principal": {"AWS": "*"}`, 1), "to the principal"},
	{"aws-s3-policy", "no principal", iamOfAll, strings.Replace(iamOfAll, `"Principal": "*", `, "", 1), "has principals"},
	{"aws-s3-policy", "a resource of another service", iamOfAll, strings.Replace(iamOfAll, "s3:::b", "sqs:::b", 1), "no bucket's"},
	{"aws-s3", "a key for the wrong algorithm", s3Good, strings.Replace(s3Good, "aws:kms", "AES256", 1), "encryption"},
	{"aws-s3", "an unknown key", s3Good, strings.Replace(s3Good, "Rules", "Rule", 1), "unknown field"},
}

const (
	iamOfAll = `{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Principal": "*", "Action": "s3:Put*", "Resource": "arn:aws:s3:::b/*"}}`
	s3Good   = `{"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "x"}}]}`
)
