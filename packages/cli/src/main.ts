#!/usr/bin/env node
import process from 'node:process';
import { runCli } from './cli.ts';
import { reportLostOutput } from './output/report-lost-output.ts';
import { processTerminal } from './output/terminal.ts';

const args = process.argv.slice(2);
const terminal = processTerminal();
reportLostOutput(args[0]);
process.exitCode = await runCli(args, terminal, process.env);
