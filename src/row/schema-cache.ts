/** Of whatever an API does not know, or knows otherwise than it is: it reads the schema once, and then when told. */
export const PERHAPS_UNSEEN =
  "If it was made or changed a moment ago, the API has not seen it yet: run in the SQL editor notify pgrst, 'reload schema';";
