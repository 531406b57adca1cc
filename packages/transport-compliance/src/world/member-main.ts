import process from 'node:process';
import { runMember } from './run-member.ts';

await runMember(JSON.parse(process.argv[2] ?? '{}'));
