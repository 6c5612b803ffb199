import { isModelName, type ModelName } from "../../row/models.ts";
import { ServiceError } from "./service-error.ts";

/** Throws the service's 404 for a model that is not there. */
export function knownModel(
  id: string,
  version: string,
  method: string,
  isOffered = true,
): ModelName {
  if (isModelName(id) && isOffered) return id;
  throw new ServiceError(
    "NOT_FOUND",
    `models/${id} is not found for API version ${version}, or is not supported for ${method}. Call ListModels to see the list of available models and their supported methods.`,
  );
}
