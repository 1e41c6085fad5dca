package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// orgPolicy is a policy of Google Cloud's organisation policy service.
type orgPolicy struct {
	Name       string
	Spec       *orgPolicySpec
	DryRunSpec *orgPolicySpec `yaml:"dryRunSpec"`
}

type orgPolicySpec struct {
	Rules []struct {
		Values *struct {
			AllowedValues []string `yaml:"allowedValues"`
			DeniedValues  []string `yaml:"deniedValues"`
		}
		Enforce    *bool
		AllowAll   *bool                               `yaml:"allowAll"`
		DenyAll    *bool                               `yaml:"denyAll"`
		Condition  *struct{ Expression, Title string } `yaml:"condition"`
		Parameters map[string]any
	}
	InheritFromParent bool `yaml:"inheritFromParent"`
	Reset             bool
}

var orgPolicyName = regexp.MustCompile(`^(projects|folders|organizations)/[^/]+/policies/[a-z]+\.[A-Za-z.]+$`)

func gcpOrgPolicy(body string) (problems []string) {
	var p orgPolicy
	if err := strictYAML(body, &p); err != nil {
		return []string{err.Error()}
	}
	if !orgPolicyName.MatchString(p.Name) {
		problems = append(problems, fmt.Sprintf("name %q", p.Name))
	}
	if p.Spec == nil && p.DryRunSpec == nil {
		problems = append(problems, "neither spec nor dryRunSpec")
	}
	for _, spec := range []*orgPolicySpec{p.Spec, p.DryRunSpec} {
		if spec == nil {
			continue
		}
		for _, r := range spec.Rules {
			kinds := 0
			for _, has := range []bool{r.Values != nil, r.Enforce != nil, r.AllowAll != nil, r.DenyAll != nil} {
				if has {
					kinds++
				}
			}
			if kinds != 1 {
				problems = append(problems, "a rule is one of values, enforce, allowAll and denyAll")
			}
		}
	}
	return problems
}

// iamDeny is a deny policy of Google Cloud.
type iamDeny struct {
	DisplayName string `json:"displayName"`
	Rules       []struct {
		Description string `json:"description"`
		DenyRule    struct {
			DeniedPrincipals     []string `json:"deniedPrincipals"`
			ExceptionPrincipals  []string `json:"exceptionPrincipals"`
			DeniedPermissions    []string `json:"deniedPermissions"`
			ExceptionPermissions []string `json:"exceptionPermissions"`
			DenialCondition      *struct {
				Title      string `json:"title"`
				Expression string `json:"expression"`
			} `json:"denialCondition"`
		} `json:"denyRule"`
	} `json:"rules"`
}

var (
	gcpPrincipal  = regexp.MustCompile(`^(principalSet://goog/(public:all|group/\S+|cloudIdentityCustomerId/\S+)|principal://(goog/subject/\S+|iam\.googleapis\.com/projects/-/serviceAccounts/\S+)|principalSet://(cloudresourcemanager|iam)\.googleapis\.com/\S+)$`)
	gcpPermission = regexp.MustCompile(`^[a-z]+\.googleapis\.com/[A-Za-z]+\.([a-zA-Z]+|\*)$`)
)

func gcpIAMDeny(body string) (problems []string) {
	var d iamDeny
	if err := strictJSON(body, &d); err != nil {
		return []string{err.Error()}
	}
	if len(d.Rules) == 0 {
		problems = append(problems, "no rules")
	}
	for _, r := range d.Rules {
		if len(r.DenyRule.DeniedPrincipals) == 0 || len(r.DenyRule.DeniedPermissions) == 0 {
			problems = append(problems, "a rule denies permissions to principals")
		}
		for _, p := range slices.Concat(r.DenyRule.DeniedPrincipals, r.DenyRule.ExceptionPrincipals) {
			if !gcpPrincipal.MatchString(p) {
				problems = append(problems, fmt.Sprintf("principal %q", p))
			}
		}
		for _, p := range slices.Concat(r.DenyRule.DeniedPermissions, r.DenyRule.ExceptionPermissions) {
			if !gcpPermission.MatchString(p) {
				problems = append(problems, fmt.Sprintf("permission %q", p))
			}
		}
	}
	return problems
}

var (
	azureEffects    = []string{"addToNetworkGroup", "append", "audit", "auditIfNotExists", "deny", "denyAction", "deployIfNotExists", "disabled", "manual", "modify"}
	azureConditions = []string{
		"equals", "notEquals", "like", "notLike", "match", "notMatch", "contains", "notContains", "in", "notIn", "containsKey", "less", "lessOrEquals",
		"greater", "greaterOrEquals", "exists",
	}
)

// azurePolicy reads a policy definition's properties.
func azurePolicy(body string) []string {
	var p struct {
		Mode       string         `json:"mode"`
		Parameters map[string]any `json:"parameters"`
		PolicyRule struct {
			If   map[string]any `json:"if"`
			Then struct {
				Effect  string `json:"effect"`
				Details any    `json:"details"`
			} `json:"then"`
		} `json:"policyRule"`
	}
	if err := strictJSON(body, &p); err != nil {
		return []string{err.Error()}
	}
	var problems []string
	if mode := strings.ToLower(p.Mode); mode != "all" && mode != "indexed" && !strings.HasPrefix(mode, "microsoft.") {
		problems = append(problems, fmt.Sprintf("mode %q", p.Mode))
	}
	if effect := p.PolicyRule.Then.Effect; !slices.Contains(azureEffects, effect) && !strings.HasPrefix(effect, "[parameters(") {
		problems = append(problems, fmt.Sprintf("effect %q", effect))
	}
	return append(problems, azureCondition(p.PolicyRule.If)...)
}

func azureCondition(c map[string]any) (problems []string) {
	var subjects, tests int
	for _, key := range sortedKeys(c) {
		switch {
		case key == "allOf" || key == "anyOf":
			each, _ := c[key].([]any)
			for _, one := range each {
				of, _ := one.(map[string]any)
				problems = append(problems, azureCondition(of)...)
			}
			subjects, tests = subjects+1, tests+1
		case key == "not":
			of, _ := c[key].(map[string]any)
			problems = append(problems, azureCondition(of)...)
			subjects, tests = subjects+1, tests+1
		case key == "field" || key == "value" || key == "count":
			subjects++
		case slices.Contains(azureConditions, key):
			tests++
		default:
			problems = append(problems, "unknown condition "+key)
		}
	}
	if subjects != 1 || tests != 1 {
		problems = append(problems, fmt.Sprintf("condition %v: want one subject and one test", sortedKeys(c)))
	}
	return problems
}

const (
	orgPolicyGood = "name: projects/p/policies/iam.disableServiceAccountCreation\nspec:\n  rules:\n    - enforce: true\n"
	iamDenyGood   = `{"displayName": "x", "rules": [{"denyRule": {"deniedPrincipals": ["principalSet://goog/public:all"], "deniedPermissions": ["logging.googleapis.com/sinks.delete"]}}]}`
	azureGood     = `{"mode": "All", "policyRule": {"if": {"allOf": [{"field": "type", "equals": "x"}, {"not": {"field": "y", "in": ["z"]}}]}, "then": {"effect": "audit"}}}`
)

var cloudBites = []bite{
	{"gcp-org-policy", "an unknown key", orgPolicyGood, strings.Replace(orgPolicyGood, "enforce", "enforced", 1), "enforced"},
	{"gcp-org-policy", "a name without its project", orgPolicyGood, strings.Replace(orgPolicyGood, "projects/p/policies/", "", 1), "name"},
	{"gcp-org-policy", "two kinds of rule", orgPolicyGood, orgPolicyGood + "      denyAll: true\n", "is one of"},
	{"gcp-iam-deny", "a permission of another form", iamDenyGood, strings.Replace(iamDenyGood, "logging.googleapis.com/sinks", "logging.sinks", 1), "permission"},
	{"gcp-iam-deny", "a principal of allow policies", iamDenyGood, strings.Replace(iamDenyGood, "principalSet://goog/public:all", "allUsers", 1), "principal"},
	{"gcp-iam-deny", "an unknown key", iamDenyGood, strings.Replace(iamDenyGood, "denyRule", "deny", 1), "unknown field"},
	{"azure-policy", "an effect that there is not", azureGood, strings.Replace(azureGood, "audit", "warn", 1), "effect"},
	{"azure-policy", "a condition that there is not", azureGood, strings.Replace(azureGood, "equals", "equal", 1), "unknown condition"},
	{"azure-policy", "a field without a test", azureGood, strings.Replace(azureGood, `, "equals": "x"`, "", 1), "one test"},
}
