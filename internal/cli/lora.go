package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/job"
)

// readLoRAs takes what --lora names. Without a coordinator each is a file, which the shards of this
// process read where it is. A coordinator gets files with the request; any other name is one that
// its shards have registered.
func (g *generation) readLoRAs(remote bool) error {
	field, _ := job.LookupField(job.LoRAFileField)
	for i := range g.request.LoRAs {
		l := &g.request.LoRAs[i]

		// A file of that name is preferred to what the coordinator may have under it.
		info, err := os.Stat(l.Name)
		switch {
		case err != nil && remote:
			continue
		case err != nil || info.IsDir():
			return daemon.Usagef("--lora is %.200q, which is no file; allowed: a safetensors file, with "+
				":SCALE behind it, or with --coordinator a name that its shards have registered", l.Name)
		case remote:
			g.inputs.files = append(g.inputs.files, &inputFile{flag: "lora", field: field, path: l.Name})
			l.Name = "" // the next file
		default:
			l.Name = g.registerLoRA(l.Name)
		}
	}

	if remote && g.inputs.video != "" && len(g.inputs.files) > 0 {
		return daemon.Usagef("files of LoRAs do not go with --extend of a video; allowed: names")
	}
	return nil
}

// registerLoRA has the shards of this process know a file by the name that it returns: the file's,
// with a number where two files have the same.
func (g *generation) registerLoRA(path string) string {
	base := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	if job.CheckLoRAName(base) != nil {
		base = "lora"
	}
	if g.local.LoRAs == nil {
		g.local.LoRAs = map[string]string{}
	}
	name := base
	for n := 2; g.local.LoRAs[name] != "" && g.local.LoRAs[name] != path; n++ {
		name = fmt.Sprintf("%s %d", base, n)
	}
	g.local.LoRAs[name] = path
	return name
}
