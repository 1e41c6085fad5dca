package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"falconer/processor"
	"falconer/rules"
	"falconer/subjects"
)

// Config is every setting that more than one command shares. The keys of the
// file are the flags' names with "_" for "-"; the variables are the same in
// upper case behind FALCONER_.
type Config struct {
	File string `yaml:"-"`
	// bench says that this process is part of a bench, whose streams it may use.
	bench bool

	NATS     string `yaml:"nats"`
	Creds    string `yaml:"creds"`
	Listen   string `yaml:"listen"`
	Data     string `yaml:"data"`
	User     string `yaml:"broker_user"`
	Password string `yaml:"broker_password"`

	Rules []string `yaml:"rules"`
	ID    string   `yaml:"id"`
	// Silences is a file.
	Silences string `yaml:"silences"`

	SourceStream   string        `yaml:"source_stream"`
	Partitions     int           `yaml:"partitions"`
	Replicas       int           `yaml:"replicas"`
	RawMaxAge      time.Duration `yaml:"raw_max_age"`
	RawMaxBytes    int64         `yaml:"raw_max_bytes"`
	OutputMaxBytes int64         `yaml:"output_max_bytes"`

	Retention time.Duration `yaml:"retention"`
	Reopen    time.Duration `yaml:"reopen"`
	Redact    string        `yaml:"redact"`

	LogLevel  string `yaml:"log_level"`
	LogFormat string `yaml:"log_format"`
}

func defaults() Config {
	return Config{
		Listen: "127.0.0.1:4222", Data: "data", Retention: 7 * 24 * time.Hour, Reopen: processor.DefaultReopen,
		Redact: string(processor.RedactStandard), LogLevel: "info", LogFormat: "auto",
	}
}

// bind makes a flag of every setting.
func (c *Config) bind(f *pflag.FlagSet) {
	f.StringVarP(&c.File, "config", "c", "", "YAML file with settings")
	f.StringVar(&c.NATS, "nats", c.NATS, "URLs of NATS, comma-separated; run without it starts a server inside, other commands look at 127.0.0.1:4222")
	f.StringVar(&c.Creds, "creds", c.Creds, "NATS credentials file")
	f.StringVar(&c.Listen, "listen", c.Listen, "address of the server inside")
	f.StringVar(&c.Data, "data", c.Data, "folder of the server inside")
	f.StringVar(&c.User, "broker-user", c.User, "user of the server inside; with a password only")
	f.StringVar(&c.Password, "broker-password", c.Password, "password of the server inside; better as FALCONER_BROKER_PASSWORD")
	f.StringSliceVar(&c.Rules, "rules", c.Rules, "folders with your own playbooks, which go before those built in")
	f.StringVar(&c.Silences, "silences", c.Silences, "YAML file with silences that run begins; see the README")
	f.StringVar(&c.ID, "id", c.ID, "name of this worker, unique among those that run (default: random)")
	f.StringVar(&c.SourceStream, "source-stream", c.SourceStream, "existing stream that holds falco.>; empty: Falconer keeps its own")
	f.IntVar(&c.Partitions, "partitions", c.Partitions, "partitions of a new FALCO stream (default 16)")
	f.IntVar(&c.Replicas, "replicas", c.Replicas, "replicas of new streams: 1, 3 or 5 (default 1)")
	f.DurationVar(&c.RawMaxAge, "raw-max-age", c.RawMaxAge, "how long a new FALCO stream keeps alerts (default 72h)")
	f.Int64Var(&c.RawMaxBytes, "raw-max-bytes", c.RawMaxBytes, "size of a new FALCO stream (default 8 GiB; 1 GiB with the server inside)")
	f.Int64Var(&c.OutputMaxBytes, "output-max-bytes", c.OutputMaxBytes, "size of a new FALCONER stream (default as above); when it is full, workers wait")
	f.DurationVar(&c.Retention, "retention", c.Retention, "how long reports and tasks are kept")
	f.DurationVar(&c.Reopen, "reopen", c.Reopen, "how long after its end a returning incident names the old one; the same for all workers")
	f.StringVar(&c.Redact, "redact", c.Redact, "what is hidden from outputs: off, standard or strict; the same for all workers")
	f.StringVar(&c.LogLevel, "log-level", c.LogLevel, "trace, debug, info, warn or error")
	f.StringVar(&c.LogFormat, "log-format", c.LogFormat, "json, console, or auto: console on a terminal")
}

// load puts the settings together: file, then environment, then flags.
func (c *Config) load(flags *pflag.FlagSet, env func(string) (string, bool)) error {
	given := map[string]string{}
	var rulesGiven []string
	settings := settingFlags()
	flags.Visit(func(f *pflag.Flag) {
		if settings.Lookup(f.Name) == nil {
			return // the command's own, which nothing else sets
		}
		given[f.Name] = f.Value.String()
		if f.Name == "rules" {
			rulesGiven = append([]string{}, c.Rules...)
		}
	})
	file := c.File
	if v, ok := env("FALCONER_CONFIG"); ok && file == "" {
		file = v
	}
	if err := c.readFile(file); err != nil {
		return err
	}
	if err := c.readEnv(flags, env); err != nil {
		return err
	}
	for name, value := range given {
		if name == "rules" {
			c.Rules = rulesGiven
			continue
		}
		if err := flags.Lookup(name).Value.Set(value); err != nil {
			return misuse{fmt.Errorf("--%s: %w", name, err)}
		}
	}
	return c.validate()
}

// settingFlags has a flag for every setting, and no other.
func settingFlags() *pflag.FlagSet {
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	(&Config{}).bind(f)
	return f
}

func (c *Config) readFile(name string) error {
	if name == "" {
		return nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	return rules.Decode(name, data, c)
}

func (c *Config) readEnv(flags *pflag.FlagSet, env func(string) (string, bool)) error {
	var errs []error
	settingFlags().VisitAll(func(f *pflag.Flag) {
		name := "FALCONER_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		v, ok := env(name)
		if !ok || f.Name == "config" {
			return
		}
		if f.Name == "rules" {
			c.Rules = strings.Split(v, ",")
			return
		}
		if err := flags.Lookup(f.Name).Value.Set(v); err != nil {
			errs = append(errs, fmt.Errorf("%s is %q: %w", name, v, err))
		}
	})
	return errors.Join(errs...)
}

// validate says what is wrong with each setting and what is allowed.
func (c *Config) validate() error {
	var errs []error
	if _, err := zerolog.ParseLevel(c.LogLevel); err != nil || c.LogLevel == "" {
		errs = append(errs, fmt.Errorf("log-level is %q: want trace, debug, info, warn or error", c.LogLevel))
	}
	oneOf := func(name, v string, allowed ...string) {
		if !slices.Contains(allowed, v) {
			errs = append(errs, fmt.Errorf("%s is %q: want %s", name, v, strings.Join(allowed, " or ")))
		}
	}
	oneOf("log-format", c.LogFormat, "auto", "json", "console")
	oneOf("redact", c.Redact, processor.RedactionLevels()...)
	if c.Retention < time.Minute {
		errs = append(errs, fmt.Errorf("retention is %s: want at least 1m", c.Retention))
	}
	if c.Reopen < time.Second {
		errs = append(errs, fmt.Errorf("reopen is %s: want at least 1s", c.Reopen))
	}
	if err := c.layout().Validate(); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return misuse{fmt.Errorf("configuration: %w", err)}
	}
	return nil
}

func (c *Config) layout() subjects.Layout {
	return subjects.Layout{
		Small: c.NATS == "", Bench: c.bench, Partitions: c.Partitions, Replicas: c.Replicas, SourceStream: c.SourceStream,
		RawMaxAge: c.RawMaxAge, RawMaxBytes: c.RawMaxBytes, OutputMaxBytes: c.OutputMaxBytes,
	}
}
