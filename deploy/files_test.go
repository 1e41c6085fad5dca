package deploy_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"falconer/subjects"
)

// unset removes a variable until the test ends.
func unset(t *testing.T, variable string) {
	t.Helper()
	t.Setenv(variable, "")
	require.NoError(t, os.Unsetenv(variable))
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(data)
}

// service is what is looked at of a service in docker-compose.yml.
type service struct {
	Image       string            `yaml:"image"`
	Build       map[string]string `yaml:"build"`
	Command     []string          `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	Ports       []string          `yaml:"ports"`
	Volumes     []string          `yaml:"volumes"`
	DependsOn   map[string]any    `yaml:"depends_on"`
}

func compose(t *testing.T) map[string]service {
	t.Helper()
	var file struct {
		Services map[string]service `yaml:"services"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "../docker-compose.yml")), &file))
	require.Len(t, file.Services, 4)
	return file.Services
}

func TestComposePinsImagesAndKeepsPortsOnThisMachine(t *testing.T) {
	pinned := regexp.MustCompile(`:\d+\.\d+\.\d+(-[a-z]+)?$`)
	for name, s := range compose(t) {
		if s.Build == nil {
			require.Regexp(t, pinned, s.Image, name)
		}
		for _, port := range s.Ports {
			require.True(t, strings.HasPrefix(port, "127.0.0.1:"), "%s publishes %s", name, port)
		}
	}
}

func TestComposeSetsWhatFalconerReads(t *testing.T) {
	config := read(t, "../cmd/falconer/config.go")
	services := compose(t)
	for _, name := range []string{"setup", "falconer"} {
		require.NotEmpty(t, services[name].Environment)
		for variable := range services[name].Environment {
			flag, ok := strings.CutPrefix(variable, "FALCONER_")
			require.True(t, ok, variable)
			flag = strings.ToLower(strings.ReplaceAll(flag, "_", "-"))
			require.Contains(t, config, `"`+flag+`"`, "%s is no setting of falconer", variable)
		}
	}
	require.Equal(t, []string{"run"}, services["falconer"].Command)
	require.Contains(t, services["falconer"].DependsOn, "setup")
	require.Contains(t, services["falcosidekick"].DependsOn, "setup", "alerts that come before the stream are lost")
}

func TestComposeAsksForEveryPassword(t *testing.T) {
	services := compose(t)
	for _, variable := range users {
		require.Contains(t, services["nats"].Environment[variable], "${"+variable+":?")
	}
	for name, s := range services {
		for variable, value := range s.Environment {
			if strings.Contains(value, "@") {
				require.Regexp(t, `^nats://[a-z]+:\$\{NATS_PASSWORD_[A-Z]+:\?[^}]+\}@nats:4222$`, value, "%s of %s", variable, name)
			}
		}
	}
	require.Contains(t, services["nats"].Volumes, "./deploy/nats/nats-server.conf:/etc/nats/nats-server.conf:ro")
}

func TestImageIsPinnedStaticAndWithoutRoot(t *testing.T) {
	file := read(t, "Dockerfile")
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))
	require.Len(t, version, 2)
	require.Regexp(t, `(?m)^FROM golang:`+regexp.QuoteMeta(version[1])+`\.\d+-\w+ AS build$`, file)
	for _, line := range []string{"FROM scratch", "USER 65532:65532", `ENTRYPOINT ["/falconer"]`, `CMD ["run"]`} {
		require.Contains(t, file, "\n"+line+"\n")
	}
	require.Contains(t, file, "CGO_ENABLED=0 go build -trimpath")
}

// What is embedded and what is built from must reach the image's build.
func TestImageIsBuiltFromEveryPackage(t *testing.T) {
	ignore := read(t, "../.dockerignore")
	for _, name := range []string{"cmd", "processor", "rules", "subjects", "go.mod", "go.sum", "LICENSE", "NOTICE"} {
		require.Contains(t, ignore, "\n!"+name+"\n")
		_, err := os.Stat("../" + name)
		require.NoError(t, err)
	}
}

func TestValuesPublishWhereFalconerListens(t *testing.T) {
	var values struct {
		Config struct {
			NATS     map[string]string `yaml:"nats"`
			ExtraEnv []struct {
				Name  string `yaml:"name"`
				Value string `yaml:"value"`
			} `yaml:"extraEnv"`
		} `yaml:"config"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "falcosidekick/values.yaml")), &values))
	require.Equal(t, "debug", values.Config.NATS["minimumpriority"])
	env := map[string]string{}
	var names []string
	for _, e := range values.Config.ExtraEnv {
		env[e.Name] = e.Value
		names = append(names, e.Name)
	}
	require.Equal(t, "falco.<priority>.<rule>", env["NATS_SUBJECTTEMPLATE"])
	require.True(t, strings.HasPrefix(env["NATS_SUBJECTTEMPLATE"], strings.TrimSuffix(subjects.Alerts, ">")))
	require.Contains(t, env["NATS_HOSTPORT"], "$(FALCONER_NATS_PASSWORD)@")
	require.Less(t, slices.Index(names, "FALCONER_NATS_PASSWORD"), slices.Index(names, "NATS_HOSTPORT"), "Kubernetes puts in only what stands before")
}
