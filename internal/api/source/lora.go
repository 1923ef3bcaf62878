package source

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// LoRAAllowed says what the file of a LoRA is.
const LoRAAllowed = "the safetensors file of a LoRA for a Wan transformer"

// inspectLoRA looks at the names in a file. Whether they fit the model's weights is for the shards
// to find out, which have them.
func inspectLoRA(field job.Field, file *os.File) (*File, error) {
	f, err := safetensors.Open(file.Name())
	if err != nil {
		_, why, _ := strings.Cut(err.Error(), file.Name()+": ")
		return nil, wrong(field, fmt.Sprintf("a file that cannot be read: %.200s", why), LoRAAllowed)
	}
	defer f.Close()

	changes := func(name string) bool {
		return strings.Contains(name, "lora") || strings.Contains(name, ".diff")
	}
	if !slices.ContainsFunc(f.Names(), changes) {
		return nil, wrong(field, "a safetensors file of something else", LoRAAllowed)
	}
	return &File{File: file, field: field,
		input: job.Input{Role: field.Role, Kind: job.KindLoRA}}, nil
}
