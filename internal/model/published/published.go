// Package published knows the models that are published as folders of diffusers: their
// configurations, without weights. That is enough to plan for a model before it is downloaded.
//
// The configurations have the keys that decide about shapes, as scripts/convert_wan_to_diffusers.py
// of diffusers writes them. Weights are taken to have the types of the published files.
package published

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/model"
)

//go:embed files
var files embed.FS

// entry is a model by the configurations that it is made of.
type entry struct {
	name                               string // of its repository, without the owner
	index, transformer, vae, scheduler string
}

// suffix ends the names of repositories that are laid out as diffusers writes folders.
const suffix = "-Diffusers"

// owner is whose repositories they are.
const owner = "Wan-AI/"

// entries are in the order of publication. Models of two transformers have the same configuration
// for both.
var entries = []entry{
	{"Wan2.1-T2V-1.3B", "t2v", "t2v-1.3B", "2.1", "shift-3"},
	{"Wan2.1-T2V-14B", "t2v", "t2v-14B", "2.1", "shift-3"},
	{"Wan2.1-I2V-14B-480P", "i2v", "i2v-14B", "2.1", "shift-3"},
	{"Wan2.1-I2V-14B-720P", "i2v", "i2v-14B", "2.1", "shift-3"},
	{"Wan2.1-FLF2V-14B-720P", "i2v", "flf2v-14B", "2.1", "shift-16"},
	{"Wan2.1-VACE-1.3B", "vace", "vace-1.3B", "2.1", "shift-3"},
	{"Wan2.1-VACE-14B", "vace", "vace-14B", "2.1", "shift-3"},
	{"Wan2.2-T2V-A14B", "t2v-two", "t2v-14B", "2.1", "shift-3"},
	{"Wan2.2-I2V-A14B", "i2v-two", "i2v-A14B", "2.1", "shift-3"},
	{"Wan2.2-TI2V-5B", "ti2v", "ti2v-5B", "2.2", "shift-5"},
}

// Names lists the models, as Open takes them.
func Names() (out []string) {
	for _, e := range entries {
		out = append(out, e.name)
	}
	return out
}

// Known reports whether Open knows a name.
func Known(name string) bool { return find(name) >= 0 }

// Repository returns where the weights of a model are that Open knows, as Hugging Face names it.
func Repository(name string) (id string, known bool) {
	i := find(name)
	if i < 0 {
		return "", false
	}
	return owner + entries[i].name + suffix, true
}

// find returns the number of the model of a name. Its owner and the suffix may be there or not, and
// capital letters count as small ones.
func find(name string) int {
	plain := func(s string) string {
		s = strings.TrimPrefix(strings.ToLower(s), strings.ToLower(owner))
		return strings.TrimSuffix(s, strings.ToLower(suffix))
	}
	return slices.IndexFunc(entries, func(e entry) bool { return plain(e.name) == plain(name) })
}

// Open opens a model by the name of its repository, such as Wan2.2-T2V-A14B. It can be described,
// and has no weights. An unknown name is an error with those that are known.
func Open(name string) (*model.Folder, error) {
	i := find(name)
	if i < 0 {
		return nil, fmt.Errorf("model is %.80q;%s allowed: a folder, or %s", name,
			config.Hint(Names(), name), strings.Join(Names(), ", "))
	}
	return model.OpenConfigs(folder(entries[i]), entries[i].name+suffix)
}

// folder is the folder of a model, as diffusers lays it out. Nothing but its files can be opened.
type folder entry

// Open implements fs.FS.
func (f folder) Open(name string) (fs.File, error) {
	dir, file := path.Split(name)
	from := map[string]string{
		"model_index.json":         "index/" + f.index,
		"transformer/":             "transformer/" + f.transformer,
		"transformer_2/":           "transformer/" + f.transformer,
		"vae/":                     "vae/" + f.vae,
		"text_encoder/":            "text_encoder",
		"image_encoder/":           "image_encoder",
		"scheduler/":               "scheduler/" + f.scheduler,
		"tokenizer/tokenizer.json": "tokenizer",
	}

	at := from[name]
	if at == "" && (file == "config.json" || file == "scheduler_config.json") {
		at = from[dir]
	}
	if at == "" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return files.Open("files/" + at + ".json")
}
