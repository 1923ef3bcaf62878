package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

// files are the generated files without their endings and what fills them.
var files = []struct {
	// name is that of the file, to which the endings of emit are appended; fill appends its
	// functions for one set; sets are those that have functions of their own.
	name string
	fill func(m *maker)
	sets []isa
}{
	{"gemm", gemm, []isa{avx512, avx512bf16, avx2}},
	{"finish", finish, []isa{avx512, avx2}},
	{"attention", attention, []isa{avx512, avx512bf16, avx2}},
	{"transpose", transpose, []isa{avx512, avx2}},
	{"norm", norm, []isa{avx512, avx2}},
	{"bfloat", narrow, []isa{avx512, avx512bf16, avx2}},
}

// main writes all files to -dir; the first error ends it.
func main() {
	dir := flag.String("dir", ".", "directory to write to")
	flag.Parse()
	if err := write(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// write generates every file into dir. On an error the files that were written before it stay;
// generating again replaces them.
func write(dir string) error {
	for _, f := range files {
		c := build.NewContext()
		c.ConstraintExpr("amd64")

		// One body fills the file for each set; sets share constants.
		statics := map[string]operand.Mem{}
		for _, set := range f.sets {
			f.fill(&maker{Context: c, isa: set, statics: statics})
		}

		// Compile assigns registers; only then can instructions be encoded by hand.
		file, err := c.Result()
		if err != nil {
			return fmt.Errorf("cannot build %s: %w", f.name, err)
		}
		if err := pass.Compile.Execute(file); err != nil {
			return fmt.Errorf("cannot compile %s: %w", f.name, err)
		}

		encode(file)
		if err := emit(filepath.Join(dir, f.name), file); err != nil {
			return err
		}
	}
	return nil
}

// emit writes the assembly and the Go declarations of file to path with their endings. Both files
// name the command that made them, so that nobody edits them by hand.
func emit(path string, file *ir.File) error {
	cfg := printer.Config{Name: "gen", Argv: []string{"internal/cpu/gen"}, Pkg: "cpu"}
	for end, p := range map[string]printer.Printer{
		"_amd64.s":       printer.NewGoAsm(cfg),
		"_stub_amd64.go": printer.NewStubs(cfg),
	} {
		text, err := p.Print(file)
		if err != nil {
			return fmt.Errorf("cannot print %s: %w", path+end, err)
		}
		if err := os.WriteFile(path+end, text, 0o644); err != nil {
			return fmt.Errorf("cannot write: %w", err)
		}
	}
	return nil
}
