import { Command } from 'commander';
import type { CommandContext } from './command-context.ts';

const EXAMPLES = `
Examples:
  checkpoint-engine doctor
  checkpoint-engine doctor --json | jq '.checks[] | select(.status != "found")'

Exit status: 0 updates can run on this machine (on GPUs or on the host), 1 they cannot.`;

/** `doctor`: checks what this machine has, what is missing and how to install it. */
export function doctorCommand({ terminal, env, setExitCode }: CommandContext): Command {
  return new Command('doctor')
    .description('Check GPUs, drivers, libraries, NICs and limits, and say how to fix what is missing')
    .option('--json', 'print one JSON object')
    .addHelpText('after', EXAMPLES)
    .action(async (flags: { readonly json?: true }) => {
      const { diagnose } = await import('../doctor/diagnose.ts');
      const { diagnosisText } = await import('../doctor/diagnosis-text.ts');
      const diagnosis = await diagnose(env);
      const ok = diagnosis.devices.length > 0;
      terminal.print(
        flags.json
          ? JSON.stringify({ ok, command: 'doctor', ...diagnosis })
          : diagnosisText(diagnosis, terminal.out.colors),
      );
      if (!ok) setExitCode(1);
    });
}
