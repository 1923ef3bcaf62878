package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/pricefile"
	"github.com/longtake/longtake/internal/terminal"
)

// Amounts are printed as the coordinator has them: texts with all their digits.

// costText says what a clip costs and why, such as "0.14 EUR for 100 device-seconds".
func costText(c *schema.Cost) string {
	text := fmt.Sprintf("%v %s for %s", c.Amount, c.Currency, deviceSeconds(c.DeviceSeconds))

	// Why it is not the plain price of the device time.
	var why []string
	if c.Included > 0 {
		why = append(why, fmt.Sprintf("%s of plan %s", deviceSeconds(c.Included), c.Plan))
	}

	if c.Flat {
		why = append(why, "the model's price")
	}
	if c.Percent != "" && c.Percent != "0" {
		why = append(why, c.Percent+" % for the priority")
	}
	if c.Minimum {
		why = append(why, "the minimum")
	}
	if len(why) > 0 {
		text += " (" + strings.Join(why, ", ") + ")"
	}
	return text
}

// costCell is a job's cost in a list.
func costCell(v schema.Video) string {
	if c := v.Details.Cost; c != nil {
		return fmt.Sprintf("%v %s", c.Amount, c.Currency)
	}
	return dash("")
}

// deviceSeconds writes device time as bills have it.
func deviceSeconds(v float64) string { return fmt.Sprintf("%.4g device-seconds", v) }

// A job that was not metered, as it ran before this release or waits still, has neither line.

// printCost tells what a job has used, and what it costs.
func printCost(line func(key, format string, args ...any), d schema.Details) {
	if u := d.Usage; u != nil {
		text := deviceSeconds(u.DeviceSeconds)
		if u.Uncharged > 0 {
			text += fmt.Sprintf(", %.4g of them charged to nobody", u.Uncharged)
		}
		var kinds []string
		for _, k := range u.Devices {
			kinds = append(kinds, k.Device)
		}
		line("used", "%s on %s", text, strings.Join(kinds, "; "))
	}
	if d.Cost != nil {
		line("cost", "%s", costText(d.Cost))
	}

	if d.Estimate != nil {
		line("estimate", "%s", expectedText(*d.Estimate))
	}
}

// pricingCommand is for price sheets. There is one command below it, with room for others: what a
// sheet would have made of the jobs of last month, for instance.
func pricingCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "pricing", Short: "Look at price sheets"}

	// It needs no coordinator: a sheet is checked before one gets it.
	check := &cobra.Command{Use: "check FILE",
		Short: "Say what is wrong with a price sheet, or what is in it",
		Long: `Say what is wrong with a price sheet, with the line, or what is in it. Coordinators and
"longtake up" read the sheet that --pricing names when they start, and check it as this does.

  longtake pricing check configs/pricing.yaml`, Args: cobra.ExactArgs(1)}
	check.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := pricefile.Read(args[0])
		if err != nil {
			return daemon.Usage(err)
		}

		// The hash is what tells coordinators with different sheets apart.
		terminal.Printf(cmd.OutOrStdout(), "%s: %s, hash %s\n", args[0], s, s.Hash)
		return nil
	}
	return group(cmd, check)
}
