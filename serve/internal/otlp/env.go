package otlp

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// FromEnv returns the configuration that OpenTelemetry's environment variables describe,
// and nil if they name no endpoint or switch traces off. env is os.LookupEnv.
func FromEnv(env func(string) (string, bool), version string) (*Config, error) {
	get := func(names ...string) (name, value string) { // an empty one counts as none
		for _, name := range names {
			if v, ok := env(name); ok && strings.TrimSpace(v) != "" {
				return name, strings.TrimSpace(v)
			}
		}
		return names[0], ""
	}
	if _, off := get("OTEL_SDK_DISABLED"); strings.EqualFold(off, "true") {
		return nil, nil
	}
	if name, v := get("OTEL_TRACES_EXPORTER"); v == "none" {
		return nil, nil
	} else if v != "" && v != "otlp" {
		return nil, fmt.Errorf("%s is %q, must be otlp or none", name, v)
	}
	c := &Config{Timeout: 10 * time.Second, Delay: 5 * time.Second, Queue: 2048, Batch: 512, Headers: http.Header{}}
	name, at := get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	if at == "" {
		if name, at = get("OTEL_EXPORTER_OTLP_ENDPOINT"); at == "" {
			return nil, nil
		}
	}
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%s is %q, must be an address such as http://localhost:4318", name, at)
	}
	if name == "OTEL_EXPORTER_OTLP_ENDPOINT" {
		u = u.JoinPath("v1", "traces")
	}
	c.URL = u.String()
	switch name, v := get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); v {
	case "", "http/json", "http/protobuf": // collectors take JSON wherever they take the other
	default:
		return nil, fmt.Errorf("%s is %q, but spans are sent by http/json alone: leave it out, and name the collector's port for HTTP, usually 4318", name, v)
	}
	switch name, v := get("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"); v {
	case "", "none":
	case "gzip":
		c.Gzip = true
	default:
		return nil, fmt.Errorf("%s is %q, must be gzip or none", name, v)
	}
	for _, n := range []struct {
		names []string
		to    *time.Duration
	}{
		{[]string{"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"}, &c.Timeout}, {[]string{"OTEL_BSP_SCHEDULE_DELAY"}, &c.Delay},
	} {
		if name, v := get(n.names...); v != "" {
			ms, err := strconv.ParseInt(v, 10, 32)
			if err != nil || ms < 1 {
				return nil, fmt.Errorf("%s is %q, must be a time in milliseconds", name, v)
			}
			*n.to = time.Duration(ms) * time.Millisecond
		}
	}
	name, v := get("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
	headers, err := pairs(name, v)
	if err != nil {
		return nil, err
	}
	for _, h := range headers {
		c.Headers.Set(h.Key, h.Value.(string))
	}
	name, v = get("OTEL_RESOURCE_ATTRIBUTES")
	resource, err := pairs(name, v)
	if err != nil {
		return nil, err
	}
	service := "resnet"
	for _, a := range resource {
		if a.Key == "service.name" {
			service = a.Value.(string)
			continue
		}
		c.Resource = append(c.Resource, a)
	}
	if _, v := get("OTEL_SERVICE_NAME"); v != "" {
		service = v
	}
	c.Resource = append(c.Resource, Attribute{"service.name", service}, Attribute{"telemetry.sdk.language", "go"}, Attribute{"telemetry.sdk.name", "resnet"})
	if version != "" {
		c.Resource = append(c.Resource, Attribute{"service.version", version})
	}
	name, v = get("OTEL_TRACES_SAMPLER")
	argName, arg := get("OTEL_TRACES_SAMPLER_ARG")
	if c.Sampler, err = parseSampler(name, v, argName, arg); err != nil {
		return nil, err
	}
	return c, nil
}

// pairs reads "key=value,key=value", with values escaped as in URLs. Errors do not have
// the values, which may be secret.
func pairs(name, text string) (out []Attribute, err error) {
	if text == "" {
		return nil, nil
	}
	for item := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		key, value, ok := strings.Cut(item, "=")
		key = strings.TrimSpace(key)
		plain, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || key == "" || strings.ContainsAny(key, " \t\r\n:") || err != nil || strings.ContainsAny(plain, "\r\n") {
			return nil, fmt.Errorf("%s must be key=value, separated by commas, with values escaped as in URLs", name)
		}
		out = append(out, Attribute{key, plain})
	}
	return out, nil
}

// Sampler decides which traces are exported.
type Sampler struct {
	// ByParent lets the caller of a request decide, if it has a trace.
	ByParent bool
	// Below is the limit of the traces' ids that are exported, by their lower 63 bits.
	Below uint64
}

// all is the limit above all ids.
const all = 1 << 63

// Sampled reports whether a trace is exported.
func (s Sampler) Sampled(traceID string, hasParent, parentSampled bool) bool {
	if s.ByParent && hasParent {
		return parentSampled
	}
	id, err := hex.DecodeString(traceID)
	return err == nil && len(id) == 16 && binary.BigEndian.Uint64(id[8:])>>1 < s.Below
}

// parseSampler reads the sampler's name and argument.
func parseSampler(name, v, argName, arg string) (s Sampler, err error) {
	if v == "" {
		v = "parentbased_always_on"
	}
	kind, byParent := strings.CutPrefix(v, "parentbased_")
	s.ByParent = byParent
	switch kind {
	case "always_on":
		s.Below = all
	case "always_off":
	case "traceidratio":
		ratio := 1.0
		if arg != "" {
			if ratio, err = strconv.ParseFloat(arg, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
				return s, fmt.Errorf("%s is %q, must be a number from 0 to 1", argName, arg)
			}
		}
		s.Below = uint64(ratio * all)
	default:
		return s, fmt.Errorf("%s is %q, must be always_on, always_off, traceidratio, or one of these with parentbased_ before it", name, v)
	}
	return s, nil
}
