/** Whether a file is there. */
import { stat } from "node:fs/promises";

/** Rejects where the system cannot tell: what is taken for lost may be paid for again. */
export async function exists(path: string): Promise<boolean> {
  return (await sizeOf(path)) !== undefined;
}

/** In bytes; undefined where there is no such file. Rejects where the system cannot tell. */
export async function sizeOf(path: string): Promise<number | undefined> {
  return (await ifThere(stat(path)))?.size;
}

/** Undefined where the system says that there is no such file. */
export async function ifThere<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Whether the system says that there is no such file. */
export function isMissing(error: unknown): boolean {
  return errorCode(error) === "ENOENT";
}

/** As the system names it; empty where the error is none of the system's. */
export function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
