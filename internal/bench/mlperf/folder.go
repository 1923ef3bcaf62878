package mlperf

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/longtake/longtake/internal/job"
)

// Submission is a folder in the form that the submission checker reads
// (tools/submission/submission_structure.md): DIVISION/SUBMITTER with systems, results and src.
type Submission struct {
	Root      string
	Division  string // closed or open
	Submitter string
	System    string // a name for what is measured
	Model     job.Model
}

// CheckNames wants names that can be parts of a path.
func (s Submission) CheckNames() error {
	if s.Division != "closed" && s.Division != "open" {
		return fmt.Errorf("--division is %.64q; allowed: closed, open", s.Division)
	}
	if err := job.CheckName("submitter", s.Submitter); err != nil {
		return fmt.Errorf("--%w", err)
	}
	if err := job.CheckName("system", s.System); err != nil {
		return fmt.Errorf("--%w", err)
	}
	return nil
}

// base is the folder of the submitter.
func (s Submission) base() string { return filepath.Join(s.Root, s.Division, s.Submitter) }

// benchmark is the folder of the task below a system. In the open division another model has a name
// of its own, which model_mapping.json explains.
func (s Submission) benchmark() string {
	if s.Division == "closed" || isTaskModel(s.Model) {
		return Model
	}
	// A name of diffusers' may have dots and slashes, which would lead out of the folder.
	name := strings.Map(func(c rune) rune {
		if job.CheckName("", string(c)) != nil && c != '.' {
			return '-'
		}
		return c
	}, s.Model.Name)
	return cmp.Or(strings.TrimLeft(name, "."), "model")
}

// Scenario is the folder of a scenario.
func (s Submission) Scenario(of Scenario) string {
	return filepath.Join(s.base(), "results", s.System, s.benchmark(), string(of))
}

// Logs is the folder for the logs of a test.
func (s Submission) Logs(of Scenario, m Mode) string {
	dir := s.Scenario(of)
	switch m {
	case Accuracy:
		return filepath.Join(dir, "accuracy")
	case TEST04:
		return filepath.Join(dir, "TEST04", "performance", "run_1")
	}
	return filepath.Join(dir, "performance", "run_1")
}

// Write writes what is there besides logs. system describes the machines, by the checker's names of
// fields; what it leaves out and this program knows of its own machine is added, and files that
// exist already, which people may have edited, stay. It returns the fields of the system that are
// empty.
func (s Submission) Write(scenarios []Scenario, t Task, system map[string]any) (empty []string,
	err error) {
	// All of it is small and made in memory first, so that a full disk is the one thing that can
	// leave a part of it.
	full, empty := s.describe(system)
	files := map[string][]byte{
		filepath.Join(s.base(), "systems", s.System+".json"): pretty(full),
		filepath.Join(s.base(), "src", "README.md"):          []byte(sourceText),
	}
	if s.Division == "open" && s.benchmark() != Model {
		files[filepath.Join(s.base(), "model_mapping.json")] =
			pretty(map[string]any{s.benchmark(): Model})
	}

	for _, of := range scenarios {
		dir := s.Scenario(of)
		files[filepath.Join(dir, "measurements.json")] = pretty(s.measurements(t))
		files[filepath.Join(dir, "README.md")] = fmt.Appendf(nil, scenarioText, of, s.Model.Name)
		files[filepath.Join(dir, "user.conf")] = []byte(userConf)
	}

	// In no order: none of the files is read before all are there.
	for path, text := range files {
		if err := writeNew(path, text); err != nil {
			return nil, err
		}
	}
	return empty, nil
}

// writeNew writes a file, unless there is one.
func writeNew(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return os.WriteFile(path, text, 0o644)
}

// pretty is JSON for people. Maps come in the order of their keys.
func pretty(v any) []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	// Names of machines have & and < in them, which no browser reads here.
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	e.Encode(v) //nolint:errcheck // it is of texts and numbers
	return out.Bytes()
}

// Texts of files that the checker wants, and that readers of a submission look into.
const (
	sourceText = "The clips are made by longtake, and asked for by MLPerf's LoadGen through " +
		"tools/mlperf_sut.py:\n`longtake bench mlperf --help` says how to run it again.\n"
	scenarioText = "# %s of text-to-video\n\nThe model is %s. The logs are of `longtake bench " +
		"mlperf`.\n"
	userConf = "# Settings of LoadGen, read after the rules that come with it:\n" +
		"# MODEL.SCENARIO.KEY = VALUE\n"
)

// The descriptions of machines and models are forms that people fill in. What this program can know
// it fills in itself, so that a trial needs none; nothing in them is guessed: a field that is empty
// is one that the checker names, and a wrong one would be published.

// measurements are how the model was run.
func (s Submission) measurements(t Task) map[string]any {
	dtype := cmp.Or(t.Clip.DType, s.Model.Defaults.DType, "fp32")
	return map[string]any{"input_data_types": dtype, "weight_data_types": dtype, "retraining": "No",
		"starting_weights_filename": s.Model.Name, "weight_transformations": "none"}
}

// systemFields are those of a description that the checker wants to be there; those in the second
// list may be empty. They are SYSTEM_DESC_REQUIRED_FIELDS of its constants.
var (
	systemFields = strings.Fields("division submitter status system_name number_of_nodes " +
		"host_processor_model_name host_processors_per_node host_processor_core_count " +
		"host_memory_capacity host_storage_capacity host_storage_type accelerators_per_node " +
		"accelerator_model_name accelerator_memory_capacity framework operating_system " +
		"system_type other_software_stack host_memory_configuration host_networking " +
		"host_networking_topology accelerator_host_interconnect accelerator_interconnect " +
		"accelerator_memory_configuration cooling host_network_card_count")
	spareFields = strings.Fields("host_processor_frequency host_processor_caches " +
		"host_processor_interconnect accelerator_frequency accelerator_interconnect_topology " +
		"accelerator_on-chip_memories hw_notes sw_notes system_type_detail")
)

// describe completes the description of a system.
func (s Submission) describe(given map[string]any) (full map[string]any, empty []string) {
	full = map[string]any{"division": s.Division, "submitter": s.Submitter,
		"system_name": s.System, "status": "available", "system_type": "datacenter",
		"framework": "longtake", "operating_system": runtime.GOOS,
		"host_processor_core_count": fmt.Sprint(runtime.NumCPU()), "number_of_nodes": "1"}
	for name, v := range given {
		full[name] = v
	}

	// The checker wants every field to be there. Those that may be empty need nobody's attention.
	for _, name := range spareFields {
		if full[name] == nil {
			full[name] = ""
		}
	}
	for _, name := range systemFields {
		if full[name] == nil || full[name] == "" {
			full[name] = ""
			empty = append(empty, name)
		}
	}
	return full, empty
}
